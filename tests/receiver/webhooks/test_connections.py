"""What a refusal does to the connection, over real sockets."""

import json


def head(receiver, secret, length):
    return (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {secret}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def answer_on(connection):
    connection.settimeout(20)
    answer = b""
    while b"}" not in answer:
        answer += connection.recv(65536)
    return answer


def test_a_connection_goes_on_after_a_small_refused_body_that_came_late(receiver):
    body = json.dumps({"message": {"type": "hang"}}).encode()

    with receiver.connect() as connection:
        connection.sendall(head(receiver, "wrong", 5000))
        refused = answer_on(connection)
        connection.sendall(b"x" * 5000 + head(receiver, receiver.secret, len(body)) + body)
        taken = answer_on(connection)

    assert refused.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" not in refused
    assert taken.startswith(b"HTTP/1.1 200 ")


def test_refused_bodies_are_never_taken_for_the_next_request(receiver):
    inner = head(receiver, receiver.secret, 2) + b"{}"

    with receiver.connect() as connection:
        connection.sendall(head(receiver, "wrong", len(inner)) + inner)
        refused = answer_on(connection)
        connection.settimeout(0.5)
        try:
            more = connection.recv(65536)
        except TimeoutError:
            more = b""

    assert refused.startswith(b"HTTP/1.1 401 ")
    assert more == b""
