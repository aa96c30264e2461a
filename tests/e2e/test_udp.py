# SPDX-License-Identifier: BSD-2-Clause
"""UDP: who sent which datagram to whom, and those that vanish."""
from harness import by_source, main, script, shorten

PYTHON = "/usr/bin/python3"


def udp(s, source, name, wanted):
    trace = s.exact([PYTHON, script("udp.py"), name], source)
    found = trace.talk("udp")
    assert found == wanted, f"wanted {wanted}, found {found}"
    assert not trace.one("SELECT coalesce(sum(lost), 0) FROM channels")
    trace.check_inside()
    return trace


ASKED = sum(len(f"0 asks {i}") + i for i in range(10))


def both_ways(*clients, server=0):
    return {pair: (10, ASKED) for client in clients for pair in ((client, server), (server, client))}


@by_source
def udp_unconnected(s, source):
    udp(s, source, "unconnected", both_ways(1, 2, 3))


@by_source
def udp_connected(s, source):
    udp(s, source, "connected", both_ways(1, 2, 3))


@by_source
def udp_over_ipv6(s, source):
    udp(s, source, "ipv6", both_ways(1, 2, 3, 4, 5, 6))


@by_source
def udp_of_mapped_addresses(s, source):
    udp(s, source, "mapped", both_ways(1))


@by_source
def udp_to_itself(s, source):
    udp(s, source, "itself", {(0, 0): (6, 18)})


@by_source
def udp_empty_and_cut(s, source):
    trace = udp(s, source, "empty", {(1, 0): (4, 13)})
    assert trace.totals("udp") == (4, 1003, 4, 13), trace.totals("udp")


@by_source
def udp_multicast(s, source):
    udp(s, source, "multicast", {(0, 1): (5, 15), (0, 2): (5, 15)})


@by_source
def udp_two_servers_on_one_port(s, source):
    trace = s.exact([PYTHON, script("udp.py"), "reuseport"], source, same=False)
    found = trace.talk("udp")
    for client in range(3, 11):
        to, back = ({pair: moved for pair, moved in found.items() if pair[end] == client} for end in (0, 1))
        assert list(to.values()) == list(back.values()) == [(10, ASKED)], f"client {client}: {found}"
        assert [dst for _, dst in to] == [src for src, _ in back], f"client {client}: {found}"


@by_source
def udp_noise(s, source):
    trace = s.exact([PYTHON, script("udp.py"), "noise", "1000"], source)
    found = trace.talk("udp")
    assert sum(messages for (src, _), (messages, _) in found.items() if src) == 1000, found
    assert sum(messages for (_, dst), (messages, _) in found.items() if dst) == 1004, found
    trace.check_inside()


@by_source
def udp_that_overflows(s, source):
    """What is lost is counted, and does not shift the pairing of what came: a datagram's size is its number."""
    result, trace = s.record([PYTHON, script("udp.py"), "overflow"], source)
    assert result.status == 0, shorten(result)
    sent, *got = map(int, result.out.split(b"\n")[0].split())
    assert len(got) < sent, "nothing was lost: the test tests nothing"
    trace.check_sound()
    lost = trace.one("SELECT sum(lost) FROM channels WHERE mechanism = 'udp'")
    assert lost == sent - len(got), f"sent {sent}, received {len(got)}, lost {lost}"
    pairs = trace.rows("""SELECT s.bytes, r.bytes, m.exact FROM messages m JOIN events s ON s.id = m.send_event
                       JOIN events r ON r.id = m.recv_event WHERE m.mechanism = 'udp' ORDER BY m.received_ns""")
    assert [received for _, received, _ in pairs] == [2 + i for i in got], (pairs, got)
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert not wrong, f"send and receive of different datagrams: {wrong}"
    assert all(exact for *_, exact in pairs), "sizes are all different: nothing is in doubt"


main()
