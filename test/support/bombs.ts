/** A bomb that goes off for three seconds and prints how much of it did; nothing of it goes on by itself. */
export interface Bomb {
  script: string;
  /** Of what, and how much at least, or nothing was shown by it. */
  unit: string;
  least: number;
}

/** What the kernel counted for the container, whichever version its control groups have. */
const counted = (...files: string[]) =>
  `cat ${files.join(' ')} 2>/dev/null | awk '/^(max )?[0-9]+$/ { print $NF }' | head -n 1`;
/** Does `$n++` or the like for three seconds in perl, and prints it. */
const counting = (body: string, modules = '') =>
  `perl ${modules} -e '$SIG{ALRM} = sub { print int($n); exit }; alarm 3; ${body}'`;

/** What an app does to its neighbours, by what it uses up. `ROUTER` stands for the router's address and port. */
export const BOMBS: Readonly<Record<string, Bomb>> = {
  fork: {
    script: `perl -e '$SIG{ALRM} = sub { kill 9, -$$; exit }; setpgrp; alarm 3; sub bomb { while (1) { my $p = fork; select undef, undef, undef, 0.001 unless defined $p } } bomb()'
      ${counted('/sys/fs/cgroup/pids/pids.events', '/sys/fs/cgroup/pids.events')}`,
    unit: 'refused forks',
    least: 1,
  },
  processor: {
    script: `perl -e 'for (1 .. 8) { fork or do { alarm 3; 1 while 1 } } 1 while wait > 0; print int(1000 * (times)[2])'`,
    unit: 'ms of processor time',
    least: 500,
  },
  memory: {
    script: `for i in 1 2 3 4; do timeout 3 perl -e 'while (1) { my $p = fork // next; if (!$p) { my $x; $x .= "a" x (1 << 20) while 1 } waitpid $p, 0 }' & done; wait
      ${counted('/sys/fs/cgroup/memory/memory.failcnt', '/sys/fs/cgroup/memory.events')}`,
    unit: 'refused pages',
    least: 1,
  },
  disk: {
    script: `${counting('$x = "0" x (1 << 20); while (1) { open F, ">", "/home/vcap/fill"; for (1 .. 500) { syswrite(F, $x) or last; $n++ } system "sync"; unlink "/home/vcap/fill" }')}; rm -f /home/vcap/fill`,
    unit: 'MB',
    least: 100,
  },
  inode: {
    script: counting(
      'mkdir "/tmp/i"; while (1) { for (1 .. 200000) { open(F, ">", "/tmp/i/$_") or last; $n++ } unlink glob("/tmp/i/*") }',
    ),
    unit: 'files',
    least: 1000,
  },
  descriptor: {
    script: counting('my @f; while (1) { open(my $f, "<", "/dev/null") or do { @f = (); next }; push @f, $f; $n++ }'),
    unit: 'descriptors',
    least: 16_000,
  },
  log: {
    // Descriptor 3 is the output of the app itself.
    script: counting(
      'open(L, ">&=", 3); $x = "a-line-of-a-log-bomb-that-is-not-short-at-all\\n" x 100; while (1) { $n += syswrite(L, $x) }',
    ),
    unit: 'bytes',
    least: 3_000_000,
  },
  connection: {
    script: counting(
      'my @s; while (1) { socket(my $s, PF_INET, SOCK_STREAM, 0) or do { @s = (); next }; connect($s, sockaddr_in($ENV{PORT}, inet_aton("127.0.0.1"))) and $n++; push @s, $s }',
      '-MSocket',
    ),
    unit: 'connections',
    least: 1000,
  },
  // Names of the platform's domain, so that nobody else has to answer them; each socket is a connection to keep track of.
  name: {
    script: counting(
      `
    open(F, "/etc/resolv.conf"); my ($ns) = map { /nameserver (\\S+)/ ? $1 : () } <F>;
    my ($i, @s) = (0);
    while (1) {
      @s = () if @s > 500; my $s = IO::Socket::INET->new(PeerAddr => "$ns:53", Proto => "udp") or next; push @s, $s;
      for (1 .. 20) { my $q = "n" . $i++; $s->send(pack("nnnnnn", $i & 65535, 256, 1, 0, 0, 0) . pack("C/a C/a C/a C/a C nn", $q, "hostile", "cupola", "localhost", 0, 1, 1)) and $n++ }
    }`,
      '-MIO::Socket::INET',
    ),
    unit: 'queries',
    least: 1000,
  },
  tracking: {
    script: counting(
      `
    my ($host, $port) = split / /, "ROUTER"; my @s;
    while (1) {
      @s = () if @s > 3000; my $s = IO::Socket::INET->new(Proto => "tcp", Blocking => 0) or do { @s = (); next };
      connect($s, sockaddr_in($port, inet_aton($host))); push @s, $s; $n++;
    }`,
      '-MSocket -MIO::Socket',
    ),
    unit: 'tries to connect',
    least: 1000,
  },
};
