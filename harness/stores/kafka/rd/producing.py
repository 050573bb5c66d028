"""Awaited sends with librdkafka: one thread polls, the event loop is woken once a batch."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import NotSent
from harness.stores.kafka.clients import Target
from harness.stores.kafka.deadlines import Deadlines, all_answered
from harness.stores.kafka.messages import Message
from harness.stores.kafka.rd.driver import append_error, confluent_kafka

_POLL_S = 0.1
_CLOSE_WITHIN_S = 1.0

Answer = asyncio.Future[None]


class RdProducer:
    """A producer of one topic. What is over the deadline is given up by librdkafka, too."""

    def __init__(self, producer: Any, target: Target, deadlines: Deadlines) -> None:
        self._producer, self._topic = producer, target.topic
        self._watch = deadlines.add
        self._loop = asyncio.get_running_loop()
        self._answered: deque[tuple[Answer, Any]] = deque()
        self._open = True
        self._thread = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        self._thread.start()

    async def send(self, messages: Sequence[Message]) -> None:
        """Hand all of them over, then wait for each."""
        if len(messages) == 1:
            await self._hand_over(messages[0])
            return
        for error in await all_answered([self._hand_over(message) for message in messages]):
            raise error

    def _hand_over(self, message: Message) -> Answer:
        answer: Answer = self._loop.create_future()
        key, value, headers = message
        try:
            self._producer.produce(
                self._topic, value, key, on_delivery=self._delivered(answer), headers=headers
            )
        except BufferError as error:
            raise NotSent("no room among the messages that wait to be sent") from error
        except confluent_kafka.KafkaException as error:
            raise append_error(error.args[0]) from error
        self._watch(answer)
        return answer

    def _delivered(self, answer: Answer) -> Callable[[Any, Any], None]:
        """Called in the polling thread."""

        def delivered(error: Any, _: Any) -> None:
            self._answered.append((answer, error))

        return delivered

    def _tell(self) -> None:
        """Called in the event loop."""
        answered = self._answered
        while answered:
            answer, error = answered.popleft()
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(append_error(error))

    def _poll(self) -> None:
        while self._open:
            self._producer.poll(_POLL_S)
            # Once all that has arrived is here: each callback needs the interpreter's lock, and
            # an event loop that was awake would contend for it.
            if self._answered:
                self._loop.call_soon_threadsafe(self._tell)

    async def aclose(self) -> None:
        """Wait a moment for what is under way, and give the rest up."""
        await asyncio.to_thread(self._producer.flush, _CLOSE_WITHIN_S)
        self._producer.purge()
        await asyncio.to_thread(self._producer.flush, _CLOSE_WITHIN_S)
        self._open = False
        await asyncio.to_thread(self._thread.join)
        self._tell()
