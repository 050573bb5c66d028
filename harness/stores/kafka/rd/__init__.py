"""Kafka by librdkafka's Python client, confluent-kafka."""
