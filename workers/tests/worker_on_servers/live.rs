//! What stands now, as anybody reads it from the store.

use std::{collections::BTreeMap, path::Path, sync::Mutex, time::Duration};

use parking_crds::worker_config::Store;
use parking_workers::{
    ports::live_view::LiveKind,
    up,
    view::{AlertFilter, View},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    city::{City, DEADLINE},
    reference::Reference,
};

/// Rows by id.
pub(crate) type Rows = BTreeMap<String, Value>;

/// What a data folder that no process has open shows of itself.
pub(crate) async fn of_folder(data: &Path) -> BTreeMap<LiveKind, Rows> {
    let view = up::open_view(data).unwrap();
    BTreeMap::from([(LiveKind::Zones, zones(&view).await), (LiveKind::Alerts, raised(&view).await)])
}

fn json<T: Serialize>(row: &T) -> Value {
    // As text, which is what the other side is read from.
    serde_json::from_str(&serde_json::to_string(row).unwrap()).unwrap()
}

/// Zones of which something was heard.
async fn zones(view: &View) -> Rows {
    let standing = view.standing().await.unwrap();
    let heard = standing.zones().into_iter().filter(|zone| zone.as_of.is_some());
    heard
        .map(|zone| {
            let id = zone.zone_id.to_string();
            let detail = json(&standing.zone(&id).unwrap());
            (id, detail)
        })
        .collect()
}

async fn raised(view: &View) -> Rows {
    let alerts = view.alerts(&AlertFilter::default()).await.unwrap();
    let raised = alerts.iter().filter(|alert| alert.state != "resolved");
    raised.map(|alert| (alert.alert_id.to_string(), json(alert))).collect()
}

impl City {
    async fn live(&self, kind: LiveKind) -> redis::RedisResult<Rows> {
        let Store::Redis { sentinels, master_name, prefix, .. } = &self.servers.store else {
            panic!("no Redis")
        };
        let sentinel = redis::Client::open(format!("redis://{}/", sentinels[0]))?;
        let mut sentinel = sentinel.get_multiplexed_async_connection().await?;
        let ask = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master_name).to_owned();
        let (host, port): (String, u16) = ask.query_async(&mut sentinel).await?;
        let mut master = redis::Client::open((host, port))?.get_multiplexed_async_connection().await?;
        let key = format!("{}live:{}", prefix.as_str(), kind.as_str());
        let rows: BTreeMap<String, String> = redis::cmd("HGETALL").arg(key).query_async(&mut master).await?;
        Ok(rows.into_iter().map(|(id, row)| (id, serde_json::from_str(&row).unwrap())).collect())
    }

    /// Waits until whoever reads the rows sees what the reference shows.
    pub(crate) async fn until_shown(&self, reference: &Reference) {
        for (kind, expected) in &reference.live {
            assert!(!expected.is_empty(), "{kind:?}");
            let found = Mutex::new(None);
            let shown = async {
                loop {
                    let rows = self.live(*kind).await.ok();
                    let is_shown = rows.as_ref() == Some(expected);
                    *found.lock().unwrap() = rows;
                    if is_shown {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            };
            if tokio::time::timeout(DEADLINE, shown).await.is_err() {
                assert_eq!(found.into_inner().unwrap().as_ref(), Some(expected), "{kind:?}");
            }
        }
    }
}
