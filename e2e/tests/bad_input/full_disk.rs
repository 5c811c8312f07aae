//! A disk that is full: the run ends with a reason, and goes on where it was when there is room again.
//!
//! A small file system in memory stands for the disk, where a process may mount one for itself. Where
//! it may not, the limit of a file's size does: the system refuses the write in the same place.

use std::{fs, process::Command};

use parking_e2e::{
    pipeline::{Pipeline, report},
    process::run,
};

use crate::{LIMIT, accepted, complaint};

/// Arguments: size of the disk, data folder, where the first run's output goes, command.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o "size=$1" none "$2" || exit 77
disk=$2 said=$3
shift 3
"$@" >"$said.out" 2>"$said.err"
echo $? >"$said.code"
mount -o remount,size=1g "$disk"
exec "$@"
"#;

fn may_mount() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs -o size=1m none /tmp"]);
    run(&mut probe, LIMIT).is_ok_and(|finished| finished.status.success())
}

/// Fills a disk of that size, then runs again with room.
fn fill(pipeline: &Pipeline, size: &str) -> serde_json::Value {
    fs::create_dir(pipeline.data()).unwrap();
    let (up, said) = (pipeline.up().unwrap(), pipeline.file("said"));
    let mut small = Command::new("unshare");
    small.args(["--mount", "--map-root-user", "sh", "-c", ON_A_SMALL_DISK, "sh", size]);
    small.arg(pipeline.data()).arg(&said).arg(up.get_program()).args(up.get_args());
    let second = run(&mut small, LIMIT).unwrap();
    let first = |part| fs::read_to_string(said.with_extension(part)).unwrap();
    let complaint = first("err");
    assert_eq!((first("code").trim(), first("out").as_str()), ("1", ""), "{size}: {complaint}");
    let lines: Vec<&str> = complaint.lines().filter(|line| line.starts_with("parking: ")).collect();
    assert!(matches!(lines[..], [line] if line.contains("No space left on device")), "{size}: {complaint}");
    assert!(second.status.success(), "{size}: {}", second.stderr);
    report(&second.stdout).unwrap()
}

/// A run in which no file may grow beyond so many blocks of 512 bytes.
fn limited(pipeline: &Pipeline, blocks: u32) -> Command {
    let up = pipeline.up().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    limited.arg(up.get_program()).args(up.get_args());
    limited
}

#[test]
fn run_goes_on_when_there_is_room_again() {
    let expected = accepted(&Pipeline::of_example("birmingham").unwrap());
    for size in ["64k", "2m", "12m", "24m"] {
        let pipeline = Pipeline::of_example("birmingham").unwrap();
        if may_mount() {
            assert_eq!(fill(&pipeline, size), expected, "{size}");
        } else {
            let said = complaint(&mut limited(&pipeline, 128));
            assert!(said.contains("File too large"), "{said}");
            assert_eq!(accepted(&pipeline), expected);
        }
    }
}
