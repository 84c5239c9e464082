//! What Prometheus' client libraries call `process_*`: this process as the kernel sees it.
//!
//! Read from /proc at each scrape. Where /proc is not what Linux makes it, the series are left out.

use std::fs;

use crate::exposition::{Exposition, Kind};

/// The kernel's clock ticks per second in /proc; a constant of Linux' user interface (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// What /proc says about this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ProcessStats {
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Memory in RAM.
    pub(crate) resident_bytes: u64,
    /// Address space.
    pub(crate) virtual_bytes: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Open file descriptors.
    pub(crate) open_fds: u64,
    /// The limit of those.
    pub(crate) max_fds: Option<u64>,
    /// Seconds since the Unix epoch at which it started.
    pub(crate) start_seconds: f64,
}

/// Reads them; `None` where /proc is missing.
pub(crate) fn read() -> Option<ProcessStats> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let mut stats = parse(
        &fs::read_to_string("/proc/self/stat").ok()?,
        &fs::read_to_string("/proc/self/status").ok()?,
        &boot,
    )?;
    stats.open_fds = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    stats.max_fds = fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|text| max_fds(&text));
    Some(stats)
}

/// Writes the `process_*` families.
pub(crate) fn expose(stats: &ProcessStats, into: &mut Exposition) {
    into.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "User and system CPU time.",
    )
    .sample(&[], stats.cpu_seconds);
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory.",
            stats.resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory.",
            stats.virtual_bytes,
        ),
        ("process_threads", "Threads.", stats.threads),
        ("process_open_fds", "Open file descriptors.", stats.open_fds),
    ];
    for (name, help, value) in gauges {
        into.family(name, Kind::Gauge, help).sample(&[], value);
    }
    if let Some(max) = stats.max_fds {
        into.family(
            "process_max_fds",
            Kind::Gauge,
            "Most open file descriptors allowed.",
        )
        .sample(&[], max);
    }
    into.family(
        "process_start_time_seconds",
        Kind::Gauge,
        "Start, since the Unix epoch.",
    )
    .sample(&[], stats.start_seconds);
}

/// proc(5): the fields of `stat` after the parenthesised name, which may itself contain anything.
fn parse(stat: &str, status: &str, boot: &str) -> Option<ProcessStats> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let booted: f64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(ProcessStats {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        resident_bytes: kib("VmRSS:")? * 1024,
        virtual_bytes: kib("VmSize:")? * 1024,
        threads: kib("Threads:")?,
        open_fds: 0,
        max_fds: None,
        start_seconds: booted + ticks(19)? / TICKS_PER_SECOND,
    })
}

fn max_fds(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_even_with_a_hostile_process_name() {
        let stat = "7 (a ) 1 2) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 1000 0 0";
        let status = "VmSize:\t 2048 kB\nVmRSS:\t 1024 kB\nThreads:\t3\n";
        let stats = parse(stat, status, "cpu 1\nbtime 1000\n").expect("well-formed");
        assert_eq!((stats.cpu_seconds, stats.start_seconds), (2.0, 1010.0));
        assert_eq!(
            (stats.resident_bytes, stats.virtual_bytes),
            (1 << 20, 2 << 20)
        );
        assert_eq!(stats.threads, 3);
        assert_eq!(
            max_fds("Max open files            1024        4096   files\n"),
            Some(1024)
        );
        assert_eq!(parse("", status, ""), None);
    }

    #[test]
    fn this_process_has_descriptors_and_memory() {
        let stats = read().expect("Linux");
        assert!(stats.open_fds > 0 && stats.resident_bytes > 0 && stats.start_seconds > 0.0);
    }
}
