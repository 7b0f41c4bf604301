"""Does a server answer? Listening is not enough: each is asked for something only a working one can say.

Everything here blocks for at most `timeout_s` a step, and returns None or False where there is no good answer.
"""

import http.client
import json
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

_METADATA, _METADATA_VERSION = 3, 1  # the oldest version Kafka 4 speaks whose answer tells brokers without their hosts
_KAFKA_ANSWER_MAX = 1 << 20


def kafka(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether the broker names at least one live broker, which it does once it has registered itself.

    https://kafka.apache.org/protocol.html#The_Messages_Metadata
    """
    client = b"classpulse"
    body = struct.pack(f">hhih{len(client)}si", _METADATA, _METADATA_VERSION, 1, len(client), client, 0)
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (length,) = struct.unpack(">i", _read(connection, 4))
            if not 8 <= length <= _KAFKA_ANSWER_MAX:
                return False
            _, brokers = struct.unpack(">ii", _read(connection, length)[:8])
    except OSError:
        return False
    return bool(brokers > 0)


def redis(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether it says PONG; one that is still loading its data, or wants a password, says something else."""
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            return _read(connection, 7) == b"+PONG\r\n"
    except OSError:
        return False


def listening(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Only that: for servers whose protocol is not spoken here."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True


def http_status(url: str, timeout_s: float = 2.0) -> int | None:
    """The status of a GET."""
    found = _http("GET", url, None, "", timeout_s)
    return None if found is None else found[0]


def http_json(
    url: str, payload: Any = None, *, token: str = "", key: str = "", timeout_s: float = 5.0
) -> tuple[int, Any] | None:
    """Status and body of a GET, or of a POST of `payload` as JSON; `token` is InfluxDB's, `key` the gateway's. A body
    that is no JSON is None."""
    shown = f"Token {token}" if token else f"Bearer {key}" if key else ""
    found = _http("GET" if payload is None else "POST", url, payload, shown, timeout_s)
    if found is None:
        return None
    status, body = found
    try:
        return status, json.loads(body)
    except ValueError:
        return status, None


def _http(method: str, url: str, payload: Any, authorization: str, timeout_s: float) -> tuple[int, bytes] | None:
    parts = urlsplit(url)
    of = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = of(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    body = None if payload is None else json.dumps(payload)
    headers = {} if payload is None else {"Content-Type": "application/json"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        connection.request(method, f"{parts.path or '/'}?{parts.query}", body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _read(connection: socket.socket, length: int) -> bytes:
    """Raises OSError where the peer hangs up before."""
    data = b""
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            raise ConnectionResetError(f"hung up after {len(data)} of {length} bytes")
        data += chunk
    return data
