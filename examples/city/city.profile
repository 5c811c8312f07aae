# A city that never was, with the faults of real ones: parking simulate --profile examples/city/city.profile
tenant: city
seed: 20250602
timeZone: Europe/London
start: 2025-06-02T00:00:00+01:00
duration: 1d
reportInterval: 15m
groups:
- {name: HIGH-ST, zones: 6, spaces: 24, archetype: onStreet}
- {name: MARKET, zones: 2, spaces: 8, archetype: loading}
- {name: STATION, zones: 1, spaces: 120, archetype: commuter}
- {name: GARDENS, zones: 2, spaces: 40, archetype: resident}
- {name: CHARGE, zones: 2, spaces: 12, archetype: charging}
- {name: MALL, zones: 1, spaces: 450, archetype: garage, sensing: count}
faults:
  duplicates: 0.015
  outOfOrder: 0.005
  late: 0.001
  impossible: 0.002
  flapping: 0.02
  silent: 0.05
  stuck: 0.02
  skew: 2s
  wrongHour: 0.01
  reboots: 0.001
  outages: 1.0
  incidents: 2.0
