//! The search for places around a place: GEOSEARCH, and GEORADIUS with its kin.

use super::geo::{GEO, place, place_of, unit_metres, write_distance, write_place};
use super::zsets::{READ, event};
use crate::geo::{Cell, Extent, Place, Shape};
use crate::spec::{Begin, Find};
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use base::number;
use keyspace::{ScoreBound, ZsetRef};
use resp::{Args, Reply};

const SEARCH_COST: &str = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around \
                           the shape provided as the filter and M is the number of items inside the shape";
const RADIUS_COST: &str = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area \
                           delimited by center and radius and M is the number of items inside the index.";

const UPPERCASE: (&str, &str) = ("7.0.0", "Units may be in capitals.");

/// GEOSEARCH key <FROMMEMBER member|FROMLONLAT longitude latitude> <BYRADIUS radius unit|BYBOX width height unit> …
pub static GEOSEARCH: Spec = Spec {
    name: "geosearch",
    summary: "Returns the places in a circle or a box.",
    since: "6.2.0",
    complexity: SEARCH_COST,
    arity: Arity::AtLeast(7),
    keys: READ,
    args: "key <FROMMEMBER member|FROMLONLAT <longitude:double latitude:double>> <BYRADIUS radius:double \
           <M|KM|FT|MI>|BYBOX width:double height:double <M|KM|FT|MI>> [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] \
           [WITHDIST] [WITHHASH]",
    history: &[UPPERCASE],
    handler: Handler::Read(|ctx, args| search(ctx, args, Form::Search)),
    ..GEO
};

/// GEOSEARCHSTORE destination source <FROMMEMBER …|FROMLONLAT …> <BYRADIUS …|BYBOX …> …
pub static GEOSEARCHSTORE: Spec = Spec {
    name: "geosearchstore",
    summary: "Keeps the places in a circle or a box at a key.",
    since: "6.2.0",
    complexity: SEARCH_COST,
    arity: Arity::AtLeast(8),
    keys: &[
        KeySpec::at(1, KeyFlags::OW.or(KeyFlags::UPDATE)),
        KeySpec::at(2, KeyFlags::RO.or(KeyFlags::ACCESS)),
    ],
    flags: Flags::DENY_OOM,
    args: "destination source <FROMMEMBER member|FROMLONLAT <longitude:double latitude:double>> <BYRADIUS radius:double \
           <M|KM|FT|MI>|BYBOX width:double height:double <M|KM|FT|MI>> [ASC|DESC] [COUNT count [ANY]] [STOREDIST]",
    history: &[UPPERCASE],
    handler: Handler::Write(|ctx, args| search_or_store(ctx, args, Form::SearchStore)),
    ..GEO
};

/// After STORE or STOREDIST, which stand behind word `from`.
const fn stored_at(word: &'static str, from: i64) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword { word, from },
        find: Find::Range {
            last: 0,
            step: 1,
            limit: 0,
        },
        flags: KeyFlags::OW.or(KeyFlags::UPDATE),
        notes: "",
    }
}

const SOURCE: KeySpec = KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS));

/// GEORADIUS key longitude latitude radius unit …
pub static GEORADIUS: Spec = Spec {
    name: "georadius",
    summary: "Returns the places in a circle around coordinates, or keeps them at a key.",
    complexity: RADIUS_COST,
    arity: Arity::AtLeast(6),
    keys: &[SOURCE, stored_at("STORE", 6), stored_at("STOREDIST", 6)],
    flags: Flags::DENY_OOM.or(Flags::MOVABLE_KEYS),
    args: "key longitude:double latitude:double radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT \
           count [ANY]] [ASC|DESC] [STORE key] [STOREDIST key]",
    history: &[("6.2.0", "`ANY` with `COUNT`."), UPPERCASE],
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
    handler: Handler::Write(|ctx, args| search_or_store(ctx, args, Form::Radius)),
    ..GEO
};

/// GEORADIUS_RO key longitude latitude radius unit …
pub static GEORADIUS_RO: Spec = Spec {
    name: "georadius_ro",
    summary: "Returns the places in a circle around coordinates.",
    since: "3.2.10",
    complexity: RADIUS_COST,
    arity: Arity::AtLeast(6),
    keys: READ,
    args: "key longitude:double latitude:double radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT \
           count [ANY]] [ASC|DESC]",
    history: &[("6.2.0", "`ANY` with `COUNT`.")],
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
    handler: Handler::Read(|ctx, args| search(ctx, args, Form::RadiusRead)),
    ..GEO
};

/// GEORADIUSBYMEMBER key member radius unit …
pub static GEORADIUSBYMEMBER: Spec = Spec {
    name: "georadiusbymember",
    summary: "Returns the places in a circle around a member, or keeps them at a key.",
    complexity: RADIUS_COST,
    arity: Arity::AtLeast(5),
    keys: &[SOURCE, stored_at("STORE", 5), stored_at("STOREDIST", 5)],
    flags: Flags::DENY_OOM.or(Flags::MOVABLE_KEYS),
    args: "key member radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC] [STORE \
           key] [STOREDIST key]",
    history: &[UPPERCASE],
    deprecated: Some((
        "6.2.0",
        "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    )),
    handler: Handler::Write(|ctx, args| search_or_store(ctx, args, Form::Member)),
    ..GEO
};

/// GEORADIUSBYMEMBER_RO key member radius unit …
pub static GEORADIUSBYMEMBER_RO: Spec = Spec {
    name: "georadiusbymember_ro",
    summary: "Returns the places in a circle around a member.",
    since: "3.2.10",
    complexity: RADIUS_COST,
    arity: Arity::AtLeast(5),
    keys: READ,
    args: "key member radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]",
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    handler: Handler::Read(|ctx, args| search(ctx, args, Form::MemberRead)),
    ..GEO
};

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Search,
    SearchStore,
    Radius,
    RadiusRead,
    Member,
    MemberRead,
}

impl Form {
    /// Whether centre and shape are options.
    fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::SearchStore)
    }

    /// Where the key to look at is.
    fn source_at(self) -> usize {
        if self == Self::SearchStore { 2 } else { 1 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// What a search wants.
#[derive(Default)]
struct Query<'a> {
    /// `None` for a member of a set that is not there.
    centre: Option<Place>,
    centre_given: bool,
    /// The centre was given by coordinates.
    from_coordinates: bool,
    extent: Option<(Extent, f64)>,
    order: Option<Order>,
    count: Option<u64>,
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_coordinates: bool,
    store: Option<&'a [u8]>,
    /// Store distances, not places.
    store_distance: bool,
}

impl<'a> Query<'a> {
    /// Reads a request about this sorted set, if it is there.
    fn parse(args: Args<'a>, zset: Option<ZsetRef<'_>>, form: Form) -> Result<Self> {
        let mut query = Self::default();
        let first = match form {
            Form::Radius | Form::RadiusRead => {
                query.centre = Some(place(args, 2)?);
                query.extent = Some(radius(args, 4)?);
                6
            }
            // What the rest is decides how the answer looks where there is no set.
            Form::Member | Form::MemberRead if zset.is_none() => 5,
            Form::Member | Form::MemberRead => {
                query.centre = Some(member(zset, args, 2)?);
                query.extent = Some(radius(args, 3)?);
                5
            }
            Form::Search => 2,
            Form::SearchStore => {
                query.store = Some(args.get(1));
                3
            }
        };
        let mut at = first;
        while at < args.len() {
            at = query.option(args, at, zset, form)?;
        }
        query.check(args, form)?;
        // Only the closest are those that COUNT means, unless any will do.
        if query.count.is_some() && query.order.is_none() && !query.any {
            query.order = Some(Order::Ascending);
        }
        Ok(query)
    }

    /// Reads the option at word `at`; gives where the next one is.
    fn option(&mut self, args: Args<'a>, at: usize, zset: Option<ZsetRef<'_>>, form: Form) -> Result<usize> {
        let left = args.len() - at - 1;
        let next = at + 1;
        match () {
            () if args.is(at, "withdist") => self.with_distance = true,
            () if args.is(at, "withhash") => self.with_hash = true,
            () if args.is(at, "withcoord") => self.with_coordinates = true,
            () if args.is(at, "any") => self.any = true,
            () if args.is(at, "asc") => self.order = Some(Order::Ascending),
            () if args.is(at, "desc") => self.order = Some(Order::Descending),
            () if args.is(at, "count") && left >= 1 => {
                let count = u64::try_from(args.int(next)?).ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or(Error::fixed("ERR COUNT must be > 0"))?);
                return Ok(next + 1);
            }
            () if form.is_search() => return self.search_option(args, at, zset, form),
            () if matches!(form, Form::Radius | Form::Member) && left >= 1 => {
                self.store_distance = match () {
                    () if args.is(at, "store") => false,
                    () if args.is(at, "storedist") => true,
                    () => return Err(Error::Syntax),
                };
                self.store = Some(args.get(next));
                return Ok(next + 1);
            }
            () => return Err(Error::Syntax),
        }
        Ok(next)
    }

    /// As [`Self::option`], for those that only GEOSEARCH has.
    fn search_option(&mut self, args: Args<'a>, at: usize, zset: Option<ZsetRef<'_>>, form: Form) -> Result<usize> {
        let left = args.len() - at - 1;
        let next = at + 1;
        let is_box = |query: &Self| matches!(query.extent, Some((Extent::Box(..), _)));
        let is_circle = |query: &Self| matches!(query.extent, Some((Extent::Radius(_), _)));
        if args.is(at, "frommember") && left >= 1 && !self.from_coordinates {
            self.centre = zset.map(|_| member(zset, args, next)).transpose()?;
            self.centre_given = true;
            Ok(next + 1)
        } else if args.is(at, "fromlonlat") && left >= 2 && (!self.centre_given || self.from_coordinates) {
            self.centre = Some(place(args, next)?);
            (self.centre_given, self.from_coordinates) = (true, true);
            Ok(next + 2)
        } else if args.is(at, "byradius") && left >= 2 && !is_box(self) {
            self.extent = Some(radius(args, next)?);
            Ok(next + 2)
        } else if args.is(at, "bybox") && left >= 3 && !is_circle(self) {
            self.extent = Some(box_extent(args, next)?);
            Ok(next + 3)
        } else if args.is(at, "storedist") && form == Form::SearchStore {
            self.store_distance = true;
            Ok(next)
        } else {
            Err(Error::Syntax)
        }
    }

    fn check(&self, args: Args<'_>, form: Form) -> Result {
        let refuse = |what: std::fmt::Arguments<'_>| Err(Error::err(what));
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_coordinates) {
            let what = match form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return refuse(format_args!(
                "{what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            ));
        }
        if form.is_search() && !self.centre_given {
            return refuse(format_args!(
                "exactly one of FROMMEMBER or FROMLONLAT can be specified for {}",
                args.text(0)
            ));
        }
        if form.is_search() && self.extent.is_none() {
            return refuse(format_args!(
                "exactly one of BYRADIUS and BYBOX can be specified for {}",
                args.text(0)
            ));
        }
        if self.any && self.count.is_none() {
            return refuse(format_args!("the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The places found, in order, not more than asked for.
    fn found(&self, zset: Option<ZsetRef<'_>>) -> Vec<Found> {
        let (Some(zset), Some(centre), Some((extent, unit_metres))) = (zset, self.centre, self.extent) else {
            return Vec::new();
        };
        let shape = Shape {
            centre,
            extent,
            unit_metres,
        };
        let enough = self.count.filter(|_| self.any).unwrap_or(u64::MAX) as usize;
        let mut found = look_through(zset, &shape, enough);
        let by_distance = |a: &Found, b: &Found| a.metres.total_cmp(&b.metres);
        match self.order {
            None => {}
            Some(Order::Ascending) => found.sort_by(by_distance),
            Some(Order::Descending) => found.sort_by(|a, b| by_distance(b, a)),
        }
        found.truncate(self.count.unwrap_or(u64::MAX) as usize);
        found
    }

    fn unit_metres(&self) -> f64 {
        self.extent.map_or(1.0, |(_, unit_metres)| unit_metres)
    }
}

/// Words `at` and `at + 1` as a radius and its unit.
fn radius(args: Args<'_>, at: usize) -> Result<(Extent, f64)> {
    const NOT_NUMERIC: Error = Error::fixed("ERR need numeric radius");
    let radius = number::parse_f64(args.get(at)).ok_or(NOT_NUMERIC)?;
    if radius < 0.0 {
        return Err(Error::fixed("ERR radius cannot be negative"));
    }
    Ok((Extent::Radius(radius), unit_metres(args, at + 1)?))
}

/// The three words from `at` on as width, height and their unit.
fn box_extent(args: Args<'_>, at: usize) -> Result<(Extent, f64)> {
    let width = number::parse_f64(args.get(at)).ok_or(Error::fixed("ERR need numeric width"))?;
    let height = number::parse_f64(args.get(at + 1)).ok_or(Error::fixed("ERR need numeric height"))?;
    if width < 0.0 || height < 0.0 {
        return Err(Error::fixed("ERR height or width cannot be negative"));
    }
    Ok((Extent::Box(width, height), unit_metres(args, at + 2)?))
}

/// Where the member is that word `at` names.
fn member(zset: Option<ZsetRef<'_>>, args: Args<'_>, at: usize) -> Result<Place> {
    place_of(zset, args.get(at)).ok_or(Error::fixed("ERR could not decode requested zset member"))
}

/// A member inside the shape.
struct Found {
    member: Vec<u8>,
    score: f64,
    place: Place,
    /// From the centre.
    metres: f64,
}

/// The members inside the shape, cell by cell, until there are enough.
fn look_through(zset: ZsetRef<'_>, shape: &Shape, enough: usize) -> Vec<Found> {
    let mut found = Vec::new();
    // On the coarsest levels neighbours may be the same cell; the centre is not compared.
    let mut last: Option<Cell> = None;
    for (index, cell) in shape.cells().into_iter().enumerate() {
        if last == Some(cell) {
            continue;
        }
        if found.len() >= enough {
            break;
        }
        let scores = cell.scores();
        let bound = |score, exclusive| ScoreBound { score, exclusive };
        let ranks = zset.ranks_by_score(bound(scores.start, false), bound(scores.end, true));
        for (member, score) in zset.range(ranks) {
            let place = Place::of_score(score);
            let Some(metres) = shape.distance_metres(place) else {
                continue;
            };
            found.push(Found {
                member: member.to_vec(),
                score,
                place,
                metres,
            });
            if found.len() >= enough {
                break;
            }
        }
        last = (index > 0).then_some(cell);
    }
    found
}

/// Writes what a search has found.
fn write_found(reply: &mut Reply<'_>, query: &Query<'_>, found: &[Found]) {
    let options = [query.with_distance, query.with_hash, query.with_coordinates];
    let extra = options.into_iter().filter(|wanted| *wanted).count();
    reply.array(found.len());
    for one in found {
        if extra > 0 {
            reply.array(1 + extra);
        }
        reply.bulk(&one.member);
        if query.with_distance {
            write_distance(reply, one.metres / query.unit_metres());
        }
        if query.with_hash {
            reply.int(one.score as i64);
        }
        if query.with_coordinates {
            write_place(reply, one.place);
        }
    }
}

fn search(ctx: &mut ReadCtx<'_>, args: Args<'_>, form: Form) -> Result {
    let zset = ctx.keys.zset(args.key(form.source_at()))?;
    let query = Query::parse(args, zset, form)?;
    write_found(&mut ctx.reply, &query, &query.found(zset));
    Ok(())
}

fn search_or_store(ctx: &mut WriteCtx<'_>, args: Args<'_>, form: Form) -> Result {
    let mut result = ctx.keys.zset_builder();
    let zset = ctx.keys.zset(args.key(form.source_at()))?;
    let query = Query::parse(args, zset, form)?;
    let found = query.found(zset);
    let Some(key) = query.store else {
        write_found(&mut ctx.reply, &query, &found);
        return Ok(());
    };
    for one in &found {
        let score = if query.store_distance {
            one.metres / query.unit_metres()
        } else {
            one.score
        };
        // A member that two equal cells gave is kept once.
        let _ = result.push(&one.member, score);
    }
    let name = if form.is_search() {
        "geosearchstore"
    } else {
        "georadiusstore"
    };
    let slot = ctx.key_slot(key);
    slot.store_zset(result, event(name));
    // Each place counts as a change.
    ctx.keys.count_changes((found.len() as u64).saturating_sub(1));
    ctx.reply.int(found.len() as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn places_around() {
        check(
            "
            > GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge
            3
            > GEORADIUS g 15 37 200 km WITHDIST
            [[\"Palermo\", \"190.4424\"], [\"Catania\", \"56.4413\"]]
            > GEORADIUS g 15 37 200 km ASC
            [\"Catania\", \"Palermo\"]
            > GEORADIUSBYMEMBER g Catania 200 KM COUNT 1
            [\"Catania\"]
            > GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHHASH
            [[\"Catania\", 3479447370796909, [\"15.08726745843887329\", \"37.50266842333162032\"]], [\"Palermo\", \
             3479099956230698, [\"13.36138933897018433\", \"38.11555639549629859\"]], [\"edge\", 3479273021651468, \
             [\"12.7584877610206604\", \"38.78813451624225195\"]]]
            > GEOSEARCHSTORE to g FROMMEMBER Palermo BYRADIUS 100 km STOREDIST
            2
            > ZRANGE to 0 -1
            [\"Palermo\", \"edge\"]
            > GEORADIUS g 15 37 200 km STORE to
            2
            > GEORADIUS none 15 37 200 km STORE to
            0
            > GEORADIUSBYMEMBER none x 1 km
            []
            propagated: SELECT 0
            propagated: zadd g 3479099956230698 Palermo 3479447370796909 Catania 3479273021651468 edge
            propagated: GEOSEARCHSTORE to g FROMMEMBER Palermo BYRADIUS 100 km STOREDIST
            propagated: GEORADIUS g 15 37 200 km STORE to
            propagated: GEORADIUS none 15 37 200 km STORE to
            events: zadd g
            events: geosearchstore to
            events: georadiusstore to
            events: del to
            ",
        );
    }

    #[test]
    fn what_is_refused() {
        check(
            "
            > GEOADD g 1 1 a
            1
            > GEORADIUS g 1 1 x km
            ERR need numeric radius
            > GEORADIUS g 1 1 -1 km
            ERR radius cannot be negative
            > GEORADIUS g 1 1 1 x
            ERR unsupported unit provided. please use M, KM, FT, MI
            > GEORADIUS g 1 1 1 km COUNT 0
            ERR COUNT must be > 0
            > GEORADIUS g 1 1 1 km ANY
            ERR the ANY argument requires COUNT argument
            > GEORADIUS g 1 1 1 km STORE x WITHDIST
            ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options
            > GEORADIUS_RO g 1 1 1 km STORE x
            ERR syntax error
            > GEORADIUSBYMEMBER g none 1 km
            ERR could not decode requested zset member
            > GEOSEARCH g FROMMEMBER a ASC WITHDIST WITHHASH
            ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH
            > geosearch g BYRADIUS 1 km ASC WITHHASH
            ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch
            > GEOSEARCH g FROMMEMBER a FROMLONLAT 1 1 BYRADIUS 1 km
            ERR syntax error
            > GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 x km
            ERR need numeric height
            > GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 km
            ERR height or width cannot be negative
            ",
        );
    }
}
