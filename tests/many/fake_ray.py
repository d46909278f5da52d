"""As much of Ray as `run_many_on_ray` uses, in one process: the methods of actors run on one event loop."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Generator, Sequence
from typing import Any


class RayActorError(Exception):
    pass


class RayTaskError(Exception):
    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class exceptions:
    RayActorError = RayActorError
    RayTaskError = RayTaskError


class Reference:
    def __init__(self, future: "concurrent.futures.Future[Any]", *, is_lost: bool = False) -> None:
        self.future = future
        self.is_lost = is_lost

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self.future).__await__()


class Method:
    def __init__(self, actor: "Actor", name: str) -> None:
        self._actor = actor
        self._name = name

    def remote(self, *args: Any, **options: Any) -> Reference:
        actor = self._actor
        if actor.is_dead:
            future: concurrent.futures.Future[Any] = concurrent.futures.Future()
            future.set_exception(RayActorError("The actor died."))
            return Reference(future, is_lost=True)

        async def call() -> Any:
            return await getattr(actor.made, self._name)(*args, **options)

        future = asyncio.run_coroutine_threadsafe(call(), actor.ray.loop)
        actor.futures.append(future)
        return Reference(future)


class Actor:
    def __init__(self, ray: "FakeRay", made: Any) -> None:
        self.ray = ray
        self.made = made
        self.is_dead = False
        self.futures: list[concurrent.futures.Future[Any]] = []

    def __getattr__(self, name: str) -> Method:
        return Method(self, name)


class Maker:
    def __init__(self, ray: "FakeRay", kind: type) -> None:
        self._ray = ray
        self._kind = kind

    def options(self, **_: Any) -> "Maker":
        return self

    def remote(self, *args: Any) -> Actor:
        actor = Actor(self._ray, self._kind(*args))
        self._ray.actors.append(actor)
        return actor


class FakeRay:
    """The module `ray`."""

    exceptions = exceptions

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.actors: list[Actor] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def remote(self, kind: type) -> Maker:
        return Maker(self, kind)

    def wait(
        self, references: Sequence[Reference], *, num_returns: int, timeout: float | None = None
    ) -> tuple[list[Reference], list[Reference]]:
        every = num_returns == len(references)
        how = concurrent.futures.ALL_COMPLETED if every else concurrent.futures.FIRST_COMPLETED
        done, _ = concurrent.futures.wait([each.future for each in references], timeout, how)
        ready = [each for each in references if each.future in done]
        return ready, [each for each in references if each.future not in done]

    def get(self, reference: Reference) -> Any:
        try:
            return reference.future.result(30)
        except concurrent.futures.CancelledError:
            raise RayActorError("The actor died.") from None
        except Exception as exc:
            if reference.is_lost:
                raise
            raise RayTaskError(exc) from exc

    def kill(self, actor: Actor) -> None:
        actor.is_dead = True
        for future in actor.futures:
            future.cancel()

    def close(self) -> None:
        async def rest() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self.loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(rest(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()
