"""The peer: the pipeline that people build of good programs, `DUMP | zstd | age | rclone rcat`."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from contextlib import ExitStack, suppress

from scripts.benches.cost import Cost
from scripts.benches.machine import program_path
from scripts.benches.procfs import peak_mib
from tests.servers.s3 import Bucket

_LOOK_EVERY_S = 0.01
PEER = "DUMP | zstd | age | rclone rcat"


class Pipeline:
    """Runs the pipeline against a bucket; rclone is configured by its environment and told not to look around."""

    def __init__(self, bucket: Bucket, recipient: str, level: int = 3) -> None:
        server = bucket.server
        self._bucket = bucket
        self._object_key = "peer/bench.zst.age"
        self._stages = [
            [_need("zstd"), f"-{level}", "-q", "-c"],
            [_need("age"), "-r", recipient],
            [
                _need("rclone"),
                "rcat",
                "--s3-no-check-bucket",
                "--s3-chunk-size=8M",
                f"bench:{bucket.name}/{self._object_key}",
            ],
        ]
        self._environment = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_BENCH_ENDPOINT": server.endpoint_url,
            "RCLONE_CONFIG_BENCH_REGION": server.region,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": server.access_key,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": server.secret_key,
            "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
        }

    def upload(self, argv: list[str], environment: dict[str, str], *, keep: bool = False) -> Cost:
        """What a program writes, into the bucket, and removed again unless it is to be fetched."""
        wall_s, usages, peaks = self._run([argv, *self._stages], environment)
        server = self._bucket.server
        head = server.blocking_client.head_object(Bucket=self._bucket.name, Key=self._object_key)
        if not keep:
            server.blocking_client.delete_object(Bucket=self._bucket.name, Key=self._object_key)
        return self._cost(wall_s, usages, peaks, head["ContentLength"])

    def fetch(self, argv: list[str], environment: dict[str, str], identity_file: str) -> Cost:
        """What `upload` kept, into a program."""
        stages = [
            [_need("rclone"), "cat", f"bench:{self._bucket.name}/{self._object_key}"],
            [_need("age"), "-d", "-i", identity_file],
            [_need("zstd"), "-d", "-q", "-c"],
            argv,
        ]
        wall_s, usages, peaks = self._run(stages, environment)
        head = self._bucket.server.blocking_client.head_object(Bucket=self._bucket.name, Key=self._object_key)
        return self._cost(wall_s, usages, peaks, head["ContentLength"])

    def _run(
        self, stages: list[list[str]], environment: dict[str, str]
    ) -> tuple[float, list[resource.struct_rusage], list[_Peak]]:
        began = time.perf_counter()
        processes: list[subprocess.Popen[bytes]] = []
        with ExitStack() as pipes:
            previous = None
            for stage in stages:
                process = subprocess.Popen(
                    stage,
                    stdin=previous or subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL if stage is stages[-1] else subprocess.PIPE,
                    env={**os.environ, **self._environment, **environment},
                )
                processes.append(process)
                if process.stdout is not None:
                    previous = pipes.enter_context(process.stdout)
        # Our copies of the pipes are closed here, so that a stage which dies is noticed by the one before it.
        peaks = [_Peak(process.pid) for process in processes[1:]]
        usages = [_wait(process, peaks) for process in processes]
        return time.perf_counter() - began, usages, peaks

    @staticmethod
    def _cost(wall_s: float, usages: list[resource.struct_rusage], peaks: list[_Peak], stored_bytes: int) -> Cost:
        return Cost(
            wall_s=wall_s,
            cpu_s=sum(usage.ru_utime + usage.ru_stime for usage in usages),
            memory_mib=sum(peak.mib for peak in peaks),
            stored_bytes=stored_bytes,
        )


class _Peak:
    """The largest resident set of a process, looked up while it lives: `ru_maxrss` would tell ours, from before its exec."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.mib = 0.0

    def look(self) -> None:
        with suppress(OSError):
            self.mib = max(self.mib, peak_mib(self._pid))


def _wait(process: subprocess.Popen[bytes], peaks: list[_Peak]) -> resource.struct_rusage:
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        for peak in peaks:
            peak.look()
        time.sleep(_LOOK_EVERY_S)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
    return usage


def _need(name: str) -> str:
    path = program_path(name)
    if path is None:
        raise SystemExit(f"the bench compares with {name}, which is not installed")
    return path
