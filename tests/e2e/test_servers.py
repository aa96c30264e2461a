# SPDX-License-Identifier: BSD-2-Clause
"""Real servers under load: nothing is lost, and our counts are those that server and client give of themselves."""
import os
import re
import socket

from harness import by_source, free_port, main, needs, script, shorten

PYTHON = "/usr/bin/python3"


def record(s, source, shell):
    """Runs a script that starts a server and ends it. Returns the trace, and its output by lines. By eBPF there is
    room for all that passes while the recorder does not get a processor."""
    result, trace = s.record(["sh", "-c", shell], source, ["--buffer=256M"] if source == "bpf" else [])
    assert result.status == 0, shorten(result)
    lost = trace.rows("SELECT * FROM losses WHERE kind IN ('lost', 'not_covered')")
    assert not lost, lost
    trace.check_sound()
    return trace, result.out.decode()


def connections(trace, comm, mechanism):
    """[(received, sent, messages received, messages sent)] of a server's accepted connections, in their order."""
    return trace.rows("""SELECT sum(n.bytes_received), sum(n.bytes_sent),
        (SELECT sum(messages) FROM edges e WHERE e.channel_id = n.channel_id AND dst_comm = ?),
        (SELECT sum(messages) FROM edges e WHERE e.channel_id = n.channel_id AND src_comm = ?)
        FROM endpoints n JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id
        WHERE p.comm = ? AND c.mechanism = ? AND n.role = 'server' GROUP BY n.channel_id ORDER BY min(n.first_ns)""",
                      comm, comm, comm, mechanism)


# redis

def redis_server(s):
    """redis-server is redis-check-rdb by another name (so no package needs to start a service)."""
    needs("redis-benchmark", "redis-cli")
    path = s.path("redis-server")
    if not os.path.exists(path):
        os.symlink(needs("redis-check-rdb")[0], path)
    return path


def redis(s, source, work, mechanism, options="", two_in_one=0):
    """The work with $R as redis's address. Redis's own counts, asked for over the last connection but one (the last
    ends it), are the truth. two_in_one: how often the work writes two commands at once. Returns the trace and the
    connections of the work."""
    port = free_port()
    path = s.path("redis.sock")
    at = f"-s {path}" if mechanism == "unix_stream" else f"-p {port}"
    trace, out = record(s, source, f"""cd {s.dir}
        {redis_server(s)} --port {port} --bind 127.0.0.1 --unixsocket {path} --save '' {options} >redis.log &
        until redis-cli {at} ping >/dev/null 2>&1; do sleep 0.05; done
        R='{at}'
        {work}
        redis-cli $R info stats
        redis-cli $R shutdown nosave
        wait $!""")
    told = {name: int(value) for name, value in re.findall(r"^(total_\w+):(\d+)\r$", out, re.M)}
    found = connections(trace, "redis-server", mechanism)
    info = found[-2]
    before = found[:-2]
    ours = {"total_connections_received": len(before) + 1,
            "total_net_input_bytes": sum(row[0] for row in before) + info[0],
            "total_net_output_bytes": sum(row[1] for row in before),
            "total_commands_processed": sum(row[2] for row in before) + two_in_one,
            "total_writes_processed": sum(row[3] for row in before)}
    assert ours == {name: told[name] for name in ours}, f"redis {told}, trace {ours}"
    name = path if mechanism == "unix_stream" else f"127.0.0.1:{port}"
    used = trace.rows("SELECT DISTINCT name FROM channels WHERE mechanism = ? AND bytes_sent > 0", mechanism)
    assert used == [(name,)], used
    assert not trace.one("SELECT count(*) FROM edges WHERE exact = 0 AND mechanism = ?", mechanism)
    return trace, before


def redis_with_redis_cli(s, source, mechanism):
    trace, _ = redis(s, source, """for i in 1 2 3; do redis-cli $R set key$i value$i; redis-cli $R get key$i; done
        seq 1 500 | sed 's/.*/SET k& v&/' | redis-cli $R >/dev/null; redis-cli $R dbsize""", mechanism)
    to, back = trace.edge("redis-cli", "redis-server", mechanism), trace.edge("redis-server", "redis-cli", mechanism)
    assert to[0] >= 509 and back[0] >= 509, (to, back)


@by_source
def redis_over_tcp(s, source):
    redis_with_redis_cli(s, source, "tcp")


@by_source
def redis_over_its_unix_socket(s, source):
    redis_with_redis_cli(s, source, "unix_stream")


def redis_benchmark(s, source, mechanism, server="", client=""):
    work = f"redis-benchmark $R -n 50000 -c 20 -t set -q {client} >/dev/null"
    trace, found = redis(s, source, work, mechanism, server, two_in_one=1)  # two CONFIG GET
    assert len(found) >= 21, found  # 20 clients, and one to begin with
    assert trace.edge("redis-benchmark", "redis-server", mechanism)[0] >= 50000


@by_source
def redis_benchmark_over_tcp(s, source):
    redis_benchmark(s, source, "tcp")


@by_source
def redis_benchmark_over_its_unix_socket(s, source):
    redis_benchmark(s, source, "unix_stream")


@by_source
def redis_benchmark_with_io_threads(s, source):
    redis_benchmark(s, source, "tcp", "--io-threads 2 --io-threads-do-reads yes", "--threads 2")


# nginx and wrk

NGINX = """daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err; worker_processes 2;
events {{ worker_connections 100; }}
http {{
    log_format bytes '$request_length $bytes_sent';
    access_log {dir}/nginx.log bytes buffer=64k;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5; root {dir}; sendfile on;
    server {{ listen 127.0.0.1:{port}; }}
}}
"""
WRK = """done = function(summary) io.write(string.format("read %d of %d\\n", summary.bytes, summary.requests)) end"""


@by_source
def nginx_with_wrk(s, source):
    nginx, _ = needs("nginx", "wrk")
    port = free_port()
    files = {"nginx.conf": NGINX.format(dir=s.dir, port=port), "wrk.lua": WRK, "index.html": "x" * 5000}
    for name, text in files.items():
        with open(s.path(name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(s.path(name), 0o644)
    start = f"{nginx} -e {s.dir}/nginx.err -c {s.dir}/nginx.conf"
    trace, out = record(s, source, f"""{start} &
        until [ -s {s.dir}/nginx.pid ]; do sleep 0.05; done
        wrk -t2 -c20 -d2s -s {s.dir}/wrk.lua http://127.0.0.1:{port}/index.html
        {start} -s quit
        wait $!""")
    with open(s.path("nginx.log"), encoding="ascii") as log:
        told = [sum(column) for column in zip(*(map(int, line.split()) for line in log))]
    sums = "SELECT sum(n.bytes_received), sum(n.bytes_sent) FROM endpoints n JOIN processes p ON p.id = n.process_id" \
        " JOIN channels c ON c.id = n.channel_id WHERE p.comm = ? AND c.mechanism = 'tcp'"
    assert list(trace.rows(sums, "nginx")[0]) == told, f"nginx {told}, trace {trace.rows(sums, 'nginx')}"
    read = re.search(r"^read (\d+) of (\d+)$", out, re.M)
    assert trace.rows(sums, "wrk")[0][0] == int(read[1]), f"wrk {read[0]}, trace {trace.rows(sums, 'wrk')}"
    assert trace.edge("nginx", "wrk", "tcp")[1] == int(read[1])
    assert trace.edge("wrk", "nginx", "tcp")[0] >= int(read[2]) > 1000
    used = trace.rows("SELECT DISTINCT name FROM channels WHERE mechanism = 'tcp' AND bytes_sent > 0")
    assert used == [(f"127.0.0.1:{port}",)], used


# UDP

@by_source
def dnsmasq_with_many_queries(s, source):
    dnsmasq, _ = needs("dnsmasq", "ss")
    port = free_port(socket.SOCK_DGRAM)
    hosts = " ".join(f"--address=/host{i}.test/10.1.2.{i}" for i in range(50))
    trace, out = record(s, source, f"""{dnsmasq} --keep-in-foreground --conf-file=/dev/null --port={port} \
            --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts --pid-file= \
            --log-facility={s.dir}/dns.log {hosts} &
        until ss -Hlun | grep -q :{port}; do sleep 0.05; done
        {PYTHON} {script("udp.py")} queries {port}; done=$?
        kill $!; wait $!; exit $done""")
    sent, received = map(int, out.split("\n")[0].split())
    assert trace.edge("python3", "dnsmasq", "udp") == (2000, sent), (trace.edges("udp"), sent)
    assert trace.edge("dnsmasq", "python3", "udp") == (2000, received), (trace.edges("udp"), received)
    assert not trace.one("SELECT sum(lost) FROM channels")
    assert not trace.one("SELECT count(*) FROM edges WHERE exact = 0 AND mechanism = 'udp'")
    assert (f"127.0.0.1:{port}",) in trace.rows("SELECT name FROM channels WHERE mechanism = 'udp'")


main()
