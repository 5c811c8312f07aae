//! A line of 100 MB is refused, and memory does not grow with it.

use std::{
    fs::File,
    io::{BufWriter, Write},
    process::Command,
};

use parking_e2e::{pipeline::Pipeline, process::run, readers::python};

use crate::{LIMIT, refused, small};

const LENGTH: usize = 100_000_000;
/// Runs a command and prints the most memory that it had, KiB.
const MEASURE: &str = "
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
";

fn exit_code_and_peak(pipeline: &Pipeline) -> (i32, u64) {
    let up = pipeline.up().unwrap();
    let mut measured = Command::new(python().unwrap());
    measured.args(["-c", MEASURE]).arg(up.get_program()).args(up.get_args());
    let printed = run(&mut measured, LIMIT).unwrap().stdout;
    let (code, peak) = printed.trim().split_once(' ').unwrap();
    (code.parse().unwrap(), peak.parse().unwrap())
}

fn write_long(pipeline: &Pipeline, file: &str, before: &str, after: &str) {
    let mut writer = BufWriter::new(File::create(pipeline.file(file)).unwrap());
    writer.write_all(before.as_bytes()).unwrap();
    let chunk = vec![b'x'; 1_000_000];
    (0..LENGTH / chunk.len()).for_each(|_| writer.write_all(&chunk).unwrap());
    writer.write_all(after.as_bytes()).unwrap();
}

#[test]
fn hundred_megabytes_on_one_line_are_refused_in_bounded_memory() {
    let (code, usual) = exit_code_and_peak(&small());
    assert_eq!(code, 0);
    let header = "SystemCodeNumber,Capacity,Occupancy,LastUpdated\n";
    let row = "BHMBCCMKT01,577,61,2016-10-04 07:59:42\n";
    for (file, before, said) in [
        ("readings.csv", format!("{header}{row}"), "readings.csv, line 3: longer than 1048576 bytes"),
        ("readings.csv", String::new(), "readings.csv, line 1: longer than 1048576 bytes"),
        ("stats.yaml", "kind: ".to_owned(), "stats.yaml: larger than 16777216 bytes, so no manifest"),
    ] {
        let pipeline = small();
        write_long(&pipeline, file, &before, &format!("\n{row}"));
        assert_eq!(refused(&pipeline), said);
        let (code, peak) = exit_code_and_peak(&pipeline);
        assert_eq!(code, 1);
        assert!(peak < usual.max(LENGTH as u64 / 2 / 1024), "{peak} KiB, usually {usual} KiB");
    }
}
