//! What the benches that start servers share: what a process costs by `/proc`, and the little of
//! HTTP that a client needs.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use rustix::param::clock_ticks_per_second;

use crate::Fallible;

/// Places in `/proc/PID/stat`, counted behind the program's name: user and system time, of the
/// process and of those of its children that ended.
const TIMES: [usize; 4] = [11, 12, 13, 14];

/// Processor time of a process, user and system.
pub(crate) fn processor_time(pid: &str) -> Fallible<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("odd stat")?;
    ticks(fields.split_whitespace(), &TIMES)
}

/// The sum of some fields of clock ticks.
pub(crate) fn ticks<'a>(
    fields: impl Iterator<Item = &'a str>,
    which: &[usize],
) -> Fallible<Duration> {
    let mut sum = 0;
    for (_, field) in fields
        .enumerate()
        .filter(|(place, _)| which.contains(place))
    {
        sum += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(sum * 1000 / clock_ticks_per_second()))
}

/// A line of `/proc/PID/status` that is in kB, such as `VmRSS:`, in MiB.
pub(crate) fn mebibytes(pid: u32, line_start: &str) -> Fallible<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix(line_start)?.strip_suffix("kB"))
        .ok_or_else(|| format!("no {line_start}"))?;
    Ok(kibibytes.trim().parse::<f64>()? / 1024.0)
}

/// A free port of loopback.
pub(crate) fn free_address() -> Fallible<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// The body's length, if the answer is 200 and says one.
pub(crate) fn length(head: &str) -> Option<usize> {
    head.strip_prefix("HTTP/1.1 200")?.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    })
}
