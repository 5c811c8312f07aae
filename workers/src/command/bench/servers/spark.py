"""Spark Structured Streaming on the topic of the bench: parse, drop what comes twice, count by zone, with checkpoints.

It does less than the stages: no verdict on late or impossible records, no stays, no occupancy, no rules.
Told are brokers, topic, a folder for checkpoints and one with jars. It drains the topic twice in one JVM and says a
line of JSON for each time: the seconds, and the records of each zone.
"""

import json
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, from_json

FIELDS = "event_id STRING, curb_zone_id STRING"
RECORDS_OF_A_BATCH = 500_000


def drain(spark, brokers, topic, checkpoint):
    counts = {}

    def take(batch, _):
        counts.update((row["curb_zone_id"], row["count"]) for row in batch.collect())

    source = spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", topic)
    source = source.option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", RECORDS_OF_A_BATCH)
    records = source.load().select(from_json(col("value").cast("string"), FIELDS).alias("record")).select("record.*")
    once = records.dropna().dropDuplicates(["event_id"])
    query = once.groupBy("curb_zone_id").count().writeStream.outputMode("update").foreachBatch(take)
    begun = time.monotonic()
    query.trigger(availableNow=True).option("checkpointLocation", checkpoint).start().awaitTermination()
    return {"seconds": time.monotonic() - begun, "zones": counts}


def main():
    brokers, topic, folder, jars = sys.argv[1:]
    settings = {
        "spark.jars": ",".join(str(jar) for jar in sorted(Path(jars).glob("*.jar"))),
        "spark.driver.memory": "3g",
        "spark.sql.shuffle.partitions": "4",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[*]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for name in ("first", "second"):
        drained = drain(spark, brokers, topic, f"{folder}/{name}")
        print(json.dumps({"version": spark.version, **drained}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
