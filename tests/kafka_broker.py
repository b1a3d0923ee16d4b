"""The broker that librdkafka brings for tests, as a process of its own, told what to do by its input.

It keeps what it has in memory. `down` ends its connections and hears no more, as a broker that is killed;
`up` begins it again on the same data, port and groups.
"""

from __future__ import annotations

import ctypes
import sys


def main() -> None:
    from confluent_kafka import cimpl

    lib = ctypes.CDLL(cimpl.__file__)
    for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    why = ctypes.create_string_buffer(512)
    handle = ctypes.c_void_p(lib.rd_kafka_new(0, None, why, 512))
    cluster = ctypes.c_void_p(lib.rd_kafka_mock_cluster_new(handle, 1))
    lib.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 100)
    print(lib.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["down"]:
                lib.rd_kafka_mock_broker_set_down(cluster, 1)
            case ["up"]:
                lib.rd_kafka_mock_broker_set_up(cluster, 1)
            case ["at", host, port]:
                lib.rd_kafka_mock_broker_set_host_port(cluster, 1, host.encode(), int(port))
            case ["refuse", api, error, times]:
                errors = (ctypes.c_int * int(times))(*[int(error)] * int(times))
                lib.rd_kafka_mock_push_request_errors_array(
                    cluster, ctypes.c_int16(int(api)), ctypes.c_size_t(int(times)), errors
                )
            case ["forget-topic", name]:
                lib.rd_kafka_mock_topic_delete(cluster, name.encode())
            case ["refuse-topic", name, error]:
                lib.rd_kafka_mock_topic_create(cluster, name.encode(), 1, 1)
                lib.rd_kafka_mock_topic_set_error(cluster, name.encode(), int(error))
            case other:
                raise SystemExit(f"no such order: {other}")
        print("done", flush=True)


if __name__ == "__main__":
    main()
