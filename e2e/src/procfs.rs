//! What the kernel says of a process: memory and processor time.

use std::{fs, io};

/// The kernel's unit of processor time; the same on every Linux that this runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// Resident memory now, in MB.
///
/// # Errors
/// When there is no such process, or the kernel does not say.
pub fn resident(id: u32) -> io::Result<f64> {
    status(id, "VmRSS:")
}

/// The part of it that any number of processes share, in MB: an unoptimised program has much more of it.
///
/// # Errors
/// When there is no such process, or the kernel does not say.
pub fn of_files(id: u32) -> io::Result<f64> {
    status(id, "RssFile:")
}

/// The most that was resident since `forget_peak`, in MB.
///
/// # Errors
/// When there is no such process, or the kernel does not say.
pub fn peak(id: u32) -> io::Result<f64> {
    status(id, "VmHWM:")
}

/// The peak begins anew at what is resident now.
///
/// # Errors
/// When there is no such process, or the kernel does not say.
pub fn forget_peak(id: u32) -> io::Result<()> {
    fs::write(format!("/proc/{id}/clear_refs"), "5")
}

fn status(id: u32, key: &str) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| io::Error::other(format!("no {key} of process {id}")))?;
    Ok(kibibytes * 1024.0 / 1e6)
}

/// Processor time of a process and all its threads so far, in seconds; 0 when it is gone.
pub fn processor(id: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name may hold spaces and brackets.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

/// The processes that a process has started, with their names.
///
/// # Errors
/// When there is no such process, or the kernel does not say.
pub fn children(id: u32) -> io::Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        for child in fs::read_to_string(task?.path().join("children"))?.split_whitespace() {
            let Ok(child) = child.parse() else { continue };
            let line = fs::read_to_string(format!("/proc/{child}/cmdline"))?;
            // The servers are one program; its first argument says which.
            found.push((line.split('\0').nth(1).unwrap_or_default().to_owned(), child));
        }
    }
    Ok(found)
}
