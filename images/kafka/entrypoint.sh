#!/bin/bash
# Formats the log folder once, then becomes the broker. Each variable KAFKA_A_B is the property
# a.b, as in the official image.
set -euo pipefail

properties=/etc/kafka/server.properties
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
    name=${name#KAFKA_}
    name=${name,,}
    printf '%s=%s\n' "${name//_/.}" "$value"
done >"$properties"

read -ra heap <<<"${KAFKA_HEAP_OPTS:-}"
java=(java "${heap[@]}" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35
    -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*')
# A broker that starts again is spared a JVM.
[[ -s ${KAFKA_LOG_DIRS%%,*}/meta.properties ]] ||
    "${java[@]}" kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c "$properties"
exec "${java[@]}" kafka.Kafka "$properties"
