//! Places as members of sorted sets: adding them, and what is known of one or two.

use super::zsets::{self, READ, Rule};
use crate::geo::{Place, distance_metres};
use crate::{ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use base::number;
use keyspace::ZsetRef;
use resp::{Args, Reply};

pub(super) const GEO: Spec = Spec {
    since: "3.2.0",
    category: Category::Geo,
    ..Spec::BASE
};

/// Words `at` and `at + 1` as a place.
pub(super) fn place(args: Args<'_>, at: usize) -> Result<Place> {
    let place = Place {
        longitude: zsets::score(args, at)?,
        latitude: zsets::score(args, at + 1)?,
    };
    if !place.is_valid() {
        return Err(Error::err(format_args!(
            "invalid longitude,latitude pair {:.6},{:.6}",
            place.longitude, place.latitude
        )));
    }
    Ok(place)
}

/// Word `at` as a unit of length, in metres.
pub(super) fn unit_metres(args: Args<'_>, at: usize) -> Result<f64> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let unit = units.iter().find(|(name, _)| args.is(at, name));
    unit.map(|(_, metres)| *metres)
        .ok_or(Error::fixed("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// A distance with four digits behind the point, a string in RESP3 too.
pub(super) fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

/// Both coordinates, with as many digits behind the point as they need, up to seventeen.
pub(super) fn write_place(reply: &mut Reply<'_>, place: Place) {
    reply.array(2);
    for coordinate in [place.longitude, place.latitude] {
        let text = format!("{coordinate:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        reply.double_text(if text == "-0" { "0" } else { text }.as_bytes());
    }
}

/// GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]
pub static GEOADD: Spec = Spec {
    name: "geoadd",
    summary: "Puts places into a sorted set, as members whose scores say where they are.",
    complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM,
    args: "key [NX|XX] [CH] longitude:double latitude:double member [longitude:double latitude:double member ...]",
    history: &[("6.2.0", "`CH`, `NX` and `XX`.")],
    member: 4,
    handler: Handler::Write(add),
    ..GEO
};

/// Is the ZADD of the scores, and goes to replicas as that.
fn add(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut first = 2;
    let (mut only_new, mut only_existing) = (false, false);
    while first < args.len() {
        if args.is(first, "nx") {
            only_new = true;
        } else if args.is(first, "xx") {
            only_existing = true;
        } else if !args.is(first, "ch") {
            break;
        }
        first += 1;
    }
    if !(args.len() - first).is_multiple_of(3) || (only_new && only_existing) {
        return Err(Error::Syntax);
    }
    let mut words: Vec<Vec<u8>> = vec![b"zadd".to_vec()];
    words.extend(args.take(first).skip(1).iter().map(<[u8]>::to_vec));
    for at in (first..args.len()).step_by(3) {
        let mut score = Vec::new();
        number::write_f64(&mut score, place(args, at)?.score());
        words.push(score);
        words.push(args.get(at + 2).to_vec());
    }

    let request = resp::OwnedArgs::from_words(&words);
    let commits = ctx.keys.commits;
    zsets::add(ctx, request.as_args(), Rule::default())?;
    if ctx.keys.commits > commits {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        ctx.propagate(&words);
    }
    Ok(())
}

/// GEOPOS key [member [member ...]]
pub static GEOPOS: Spec = Spec {
    name: "geopos",
    summary: "Returns the coordinates of places.",
    complexity: "O(N) where N is the number of members requested.",
    arity: Arity::AtLeast(2),
    keys: READ,
    args: "key member [member ...]",
    handler: Handler::Read(positions),
    ..GEO
};

fn positions(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let zset = ctx.keys.zset(args.key(1))?;
    ctx.reply.array(args.len() - 2);
    for member in args.skip(2).iter() {
        match place_of(zset, member) {
            Some(place) => write_place(&mut ctx.reply, place),
            None => ctx.reply.null_array(),
        }
    }
    Ok(())
}

/// Where a member is.
pub(super) fn place_of(zset: Option<ZsetRef<'_>>, member: &[u8]) -> Option<Place> {
    zset.and_then(|zset| zset.score(member)).map(Place::of_score)
}

/// GEODIST key member1 member2 [M|KM|FT|MI]
pub static GEODIST: Spec = Spec {
    name: "geodist",
    summary: "Returns the distance between two places.",
    complexity: "O(log(N))",
    arity: Arity::AtLeast(4),
    keys: READ,
    args: "key member1 member2 [M|KM|FT|MI]",
    handler: Handler::Read(distance),
    ..GEO
};

fn distance(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let unit = match args.len() {
        4 => 1.0,
        5 => unit_metres(args, 4)?,
        _ => return Err(Error::Syntax),
    };
    let zset = ctx.keys.zset(args.key(1))?;
    match place_of(zset, args.get(2)).zip(place_of(zset, args.get(3))) {
        Some((one, other)) => write_distance(&mut ctx.reply, distance_metres(one, other) / unit),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// GEOHASH key [member [member ...]]
pub static GEOHASH: Spec = Spec {
    name: "geohash",
    summary: "Returns the textual geohashes of places.",
    complexity: "O(log(N)) for each member requested, where N is the number of elements in the sorted set.",
    arity: Arity::AtLeast(2),
    keys: READ,
    args: "key member [member ...]",
    handler: Handler::Read(hashes),
    ..GEO
};

fn hashes(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let zset = ctx.keys.zset(args.key(1))?;
    ctx.reply.array(args.len() - 2);
    for member in args.skip(2).iter() {
        match place_of(zset, member) {
            Some(place) => ctx.reply.bulk(&place.text()),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn places() {
        check(
            "
            > GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
            2
            > GEOADD g CH 13.361389 38.115556 Palermo
            0
            > GEOPOS g Palermo none
            [[\"13.36138933897018433\", \"38.11555639549629859\"], (nil)]
            > GEODIST g Palermo Catania
            166274.1516
            > GEODIST g Palermo Catania KM
            166.2742
            > GEODIST g Palermo none
            (nil)
            > GEODIST g Palermo Catania x
            ERR unsupported unit provided. please use M, KM, FT, MI
            > GEOHASH g Palermo Catania none
            [\"sqc8b49rny0\", \"sqdtr74hyu0\", (nil)]
            > GEOADD g 200 10 x
            ERR invalid longitude,latitude pair 200.000000,10.000000
            > GEOADD g x 10 x
            ERR value is not a valid float
            > GEOADD g NX XX 1 1 x
            ERR syntax error
            > GEOPOS none a
            [(nil)]
            propagated: SELECT 0
            propagated: zadd g 3479099956230698 Palermo 3479447370796909 Catania
            events: zadd g
            events: nothing
            ",
        );
    }
}
