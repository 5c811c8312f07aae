//! The bucket is slow, cut off or silent, and two groups of archives believe that a lake is theirs.

use parking_crds::role::Role;
use parking_e2e::fault_table::Row;

use super::{
    Run,
    network::{cut, disturb_proxy, outlast},
};
use crate::{city::City, lake::Offsets, reference::Reference};

/// What stands in the place of a worker's group for those who do not share its partitions with it.
const OTHER: &str = "other";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_12_answers_of_the_bucket_that_are_cut_after_the_deed_double_no_row() {
    let row = Row::new(12, "answers of the bucket cut in their midst", None);
    let mut city = City::new().await;
    let proxy = city.place.behind_proxy();
    disturb_proxy(row, city, Offsets::Same, async |recoveries| cut(&proxy, recoveries).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make soak runs it"]
async fn row_12_a_bucket_that_is_slow_half_open_or_silent_is_found_again() {
    let row = Row::new(12, "bucket 200 ms away, half open either way, silent", None);
    let mut city = City::new().await;
    let proxy = city.place.behind_proxy();
    disturb_proxy(row, city, Offsets::Same, async |recoveries| outlast(&proxy, recoveries).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_13_two_groups_of_archives_on_one_lake_show_every_row_once() {
    let reference = Reference::shared().await;
    let mut row = Row::new(13, "another group archives the same partitions into the same lake", None);
    let mut run = Run::start(City::new().await).await;
    run.replay(async |city, _, recoveries| {
        for round in 0..3 {
            let name = format!("archive-{OTHER}-{round}");
            let mut other = city.spawn_beside(Role::Archive, &name, &name, |config| {
                config.group = format!("{}.{OTHER}", config.group).parse().unwrap();
            });
            other.until_ready().await;
            for _ in 0..5 {
                recoveries.measure(Role::Archive).await;
            }
            other.kill();
        }
    })
    .await;
    row.add(3, &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}
