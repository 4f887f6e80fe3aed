//! What happens to the servers every few seconds.

use std::time::Duration;

use harness::proxy::Rules;
use harness::{Proxy, Result, Rng, Server, ensure, wait};

/// How long a cut replica is kept away at most, for the backlog to be gone.
const AWAY: Duration = Duration::from_secs(15);
const BACKLOG_BYTES: u64 = 4 << 20;

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub saves: u64,
    pub cuts: u64,
    /// Of the cuts, those that outlived the backlog.
    pub gaps: u64,
    pub kills: u64,
}

impl Counts {
    /// A soak in which nothing happened has shown nothing.
    pub fn ensure_all(&self, primary: &Server, seconds: u64) -> Result<String> {
        let number = |section: &str, field: &str| -> Result<u64> {
            Ok(primary.info_field(section, field)?.parse().unwrap_or(0))
        };
        let full = number("stats", "sync_full")?;
        let partial = number("stats", "sync_partial_ok")?;
        ensure!(full > self.kills + self.gaps, "{full} full syncs after {self:?}");
        ensure!(
            partial > 0 && self.saves > 0 && self.kills > 0,
            "{partial} partial syncs; {self:?}"
        );
        Ok(format!("{self:?} in {seconds} s; {full} full syncs, {partial} partial"))
    }
}

/// The replicas and their lines, and what is done to them.
pub struct Disturber {
    replicas: Vec<(Server, Proxy)>,
    rng: Rng,
    turn: u64,
    pub counts: Counts,
}

impl Disturber {
    pub fn new(replicas: Vec<(Server, Proxy)>, seed: u64) -> Self {
        assert_eq!(replicas.len(), 2, "a soak has two replicas");
        Self {
            replicas,
            rng: Rng::new(seed),
            turn: 0,
            counts: Counts::default(),
        }
    }

    pub fn replicas(&self) -> [&Server; 2] {
        [&self.replicas[0].0, &self.replicas[1].0]
    }

    /// The one that is never killed.
    pub fn kept_replica(&self) -> &Server {
        &self.replicas[0].0
    }

    pub fn pause(&mut self) -> Duration {
        Duration::from_millis(1_500 + self.rng.below(2_500))
    }

    /// The next disturbance.
    pub fn strike(&mut self, primary: &Server) -> Result<()> {
        self.turn += 1;
        match self.turn % 6 {
            1 | 5 => self.save(primary),
            2 => {
                self.cut(0);
                Ok(())
            }
            3 => self.kill(),
            4 => {
                self.cut(1);
                self.save(primary)
            }
            _ => self.outlive_backlog(primary),
        }
    }

    fn save(&mut self, primary: &Server) -> Result<()> {
        // Refused while another one runs.
        if primary.client()?.call(&["BGSAVE"])?.as_error().is_none() {
            self.counts.saves += 1;
        }
        Ok(())
    }

    fn cut(&mut self, which: usize) {
        self.counts.cuts += 1;
        self.replicas[which].1.cut();
    }

    fn kill(&mut self) -> Result<()> {
        self.counts.kills += 1;
        let replica = &mut self.replicas[1].0;
        replica.kill();
        replica.run()
    }

    /// Keeps the first replica away until the primary has written more than its backlog holds.
    fn outlive_backlog(&mut self, primary: &Server) -> Result<()> {
        let offset = || -> Result<u64> {
            Ok(primary
                .info_field("replication", "master_repl_offset")?
                .parse()
                .unwrap_or(0))
        };
        let proxy = &self.replicas[0].1;
        proxy.set(Rules {
            refuse: true,
            ..Rules::default()
        });
        let start = offset()?;
        self.cut(0);
        let waited = wait::until("the backlog to be gone", AWAY, || {
            let written = offset()? - start;
            Ok((written < 2 * BACKLOG_BYTES).then(|| format!("{written} bytes written")))
        });
        self.replicas[0].1.set(Rules::default());
        waited?;
        self.counts.gaps += 1;
        Ok(())
    }

    /// Every line works.
    pub fn peace(&mut self) -> Result<()> {
        for (server, proxy) in &mut self.replicas {
            proxy.set(Rules::default());
            if !server.is_running() {
                server.run()?;
            }
        }
        Ok(())
    }
}
