"""Configurations, good and bad, through `apache2 -t`: message, file and line."""

import os
import pwd
import re

import pytest
from configkit import LOADED, config  # noqa: F401  a fixture

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="users matter to root only")


def balancer(*lines, name="app"):
    return '<Proxy "balancer://%s">\n%s\n</Proxy>\n' % (
        name, "\n".join(('BalancerMember "http://10.0.0.1"',) + lines))


def member(keys, url="http://10.0.0.1"):
    """A balancer whose member has these keys; the line is marked."""
    return '<Proxy "balancer://app">\n@BalancerMember "%s" %s\n</Proxy>\n' % (url, keys)


# Each: a name, the configuration, what the output has to say.  "@" marks the line.
SYNTAX = [
    # GreenBalance, GreenPolicy
    ("mode", balancer("@GreenBalance maybe"),
     "GreenBalance maybe: must be on, off or observe"),
    ("mode-outside", "@GreenBalance on\n",
     'GreenBalance belongs into a section <Proxy "balancer://NAME">'),
    ("in-location", '<Location "/">\n@GreenWake atonce=1\n</Location>\n',
     "GreenWake belongs into a section <Proxy"),
    ("in-limit", balancer("<Limit GET>", "@GreenDrain timeout=1", "</Limit>"),
     "GreenDrain belongs into a section <Proxy"),
    ("in-if", balancer('<If "true">', "@GreenDrain timeout=1", "</If>"),
     "GreenDrain belongs into a section <Proxy"),
    ("in-virtual-host", "<VirtualHost *:1>\n@GreenBalance on\n</VirtualHost>\n",
     "GreenBalance belongs into a section <Proxy"),
    ("proxy-of-a-url", '<Proxy "http://10.0.0.1">\n@GreenBalance on\n</Proxy>\n',
     "that names one balancer"),
    ("proxy-of-all", '<Proxy "*">\n@GreenBalance on\n</Proxy>\n', "that names one balancer"),
    ("proxy-pattern", '<Proxy "balancer://*">\n@GreenBalance on\n</Proxy>\n',
     "that names one balancer"),
    ("proxy-match", '<ProxyMatch "balancer://app">\n@GreenBalance on\n</ProxyMatch>\n',
     "that names one balancer"),
    ("policy", balancer("@GreenPolicy thrifty"),
     "GreenPolicy thrifty: must be one of threshold, autoscale, lcp, kpa, news"),
    ("policy-none", balancer("@GreenPolicy"),
     "GreenPolicy: must be one of threshold, autoscale, lcp, kpa, news"),
    ("policy-key-first", balancer("@GreenPolicy budget=1%"),
     "GreenPolicy budget=1%: must be one of threshold,"),
    ("policy-threshold-key", balancer("@GreenPolicy threshold wake=70%"),
     "GreenPolicy threshold wake=70%: threshold: its percentages are set by GreenThreshold"),
    ("policy-keyless", balancer("@GreenPolicy lcp wait=5s"),
     "GreenPolicy lcp wait=5s: wait= belongs to autoscale; lcp: it takes no key here"),
    ("policy-others-key", balancer("@GreenPolicy kpa budget=1%"),
     "GreenPolicy kpa budget=1%: budget= belongs to news; kpa: allowed is target=, a "
     "percentage from 10% to 100%"),
    ("policy-unknown-key", balancer("@GreenPolicy news budgets=1%"),
     "GreenPolicy news budgets=1%: news: allowed is budget=, a percentage from 0.1% to 20%"),
    ("policy-budget-low", balancer("@GreenPolicy news budget=0%"),
     "GreenPolicy budget=0%: must be a percentage from 0.1% to 20%"),
    ("policy-budget-high", balancer("@GreenPolicy news budget=20.1%"),
     "must be a percentage from 0.1% to 20%"),
    ("policy-budget-plain", balancer("@GreenPolicy news budget=0.005"),
     "must be a percentage from 0.1% to 20%"),
    ("policy-budget-twice", balancer("@GreenPolicy news budget=1% budget=1%"),
     "GreenPolicy: budget= is given twice"),
    ("policy-wait", balancer("@GreenPolicy autoscale wait=0"),
     "GreenPolicy wait=0: must be a duration from 1s to 1d"),
    ("policy-target", balancer("@GreenPolicy kpa target=9%"),
     "GreenPolicy target=9%: must be a percentage from 10% to 100%"),
    # GreenSchedule
    ("schedule-none", balancer("@GreenSchedule"),
     'GreenSchedule "": must be "DAYS HH:MM-HH:MM", such as "Mon-Fri 08:00-18:00"'),
    ("schedule-days", balancer('@GreenSchedule "Mo-Fr 08:00-18:00" min=2'),
     'GreenSchedule "Mo-Fr 08:00-18:00": must be "DAYS HH:MM-HH:MM"'),
    ("schedule-unquoted", balancer("@GreenSchedule Mon-Fri 08:00-18:00 min=2"),
     'GreenSchedule "Mon-Fri": must be "DAYS HH:MM-HH:MM"'),
    ("schedule-hour", balancer('@GreenSchedule "Mon 08:00-25:00" min=2'),
     "24:00 is the end of a day"),
    ("schedule-empty", balancer('@GreenSchedule "Mon 08:00-08:00" min=2'),
     'begin and end are different, and 24:00 is the end of a day: all of it is 00:00-24:00'),
    ("schedule-without-min", balancer('@GreenSchedule "Mon 08:00-18:00"'),
     'GreenSchedule "Mon 08:00-18:00" needs min=N'),
    ("schedule-min", balancer('@GreenSchedule "Mon 08:00-18:00" min=0'),
     "GreenSchedule min=0: must be a number from 1 to 4096"),
    ("schedule-min-twice", balancer('@GreenSchedule "Mon 08:00-18:00" min=1 min=2'),
     "GreenSchedule: min= is given twice"),
    ("schedule-key", balancer('@GreenSchedule "Mon 08:00-18:00" max=2'),
     "GreenSchedule max=2: allowed are min=, tz="),
    ("schedule-zone", balancer('@GreenSchedule "Mon 08:00-18:00" min=2 tz=Mars/Olympus'),
     "GreenSchedule tz=Mars/Olympus: must be UTC or a time zone that this system knows"),
    ("schedule-zone-path", balancer('@GreenSchedule "* 08:00-18:00" min=2 tz=../../etc/passwd'),
     "GreenSchedule tz=../../etc/passwd: must be UTC or a time zone"),
    ("schedule-zone-directory", balancer('@GreenSchedule "* 08:00-18:00" min=2 tz=Europe'),
     "GreenSchedule tz=Europe: must be UTC or a time zone"),
    ("schedule-zone-text", balancer('@GreenSchedule "* 08:00-18:00" min=2 tz=zone.tab'),
     "GreenSchedule tz=zone.tab: must be UTC or a time zone"),
    ("schedule-outside", '@GreenSchedule "* 08:00-18:00" min=2\n',
     "GreenSchedule belongs into a section <Proxy"),
    # keys in general
    ("no-key", balancer("@GreenThreshold"),
     "GreenThreshold needs at least one of wake=, sleep="),
    ("unknown-key", balancer("@GreenHealth url=/x"),
     "GreenHealth url=/x: allowed are uri=, interval=, timeout=, rise=, fall=, expect=, "
     "host=, verify="),
    ("no-equals", balancer("@GreenAwake 3"), "GreenAwake 3: allowed are min=, spare="),
    ("key-twice", balancer("@GreenAwake min=2 min=3"), "GreenAwake: min= is given twice"),
    ("reverse-key", balancer("@GreenReverseHealth every=15s"),
     "GreenReverseHealth every=15s: allowed are interval=, fall=, beat="),
    # values and their ranges
    ("threshold-plain", balancer("@GreenThreshold wake=0.8"),
     "GreenThreshold wake=0.8: must be a percentage from 1% to 100%"),
    ("threshold-low", balancer("@GreenThreshold sleep=0.9%"), "must be a percentage from 1%"),
    ("threshold-high", balancer("@GreenThreshold wake=101%"), "must be a percentage from 1%"),
    ("min-many", balancer("@GreenAwake min=4097"),
     "GreenAwake min=4097: must be a number from 0 to 4096"),
    ("spare", balancer("@GreenAwake spare=-1"), "must be a number from 0 to 4096"),
    ("dwell", balancer("@GreenDwell awake=31d"),
     "GreenDwell awake=31d: must be a duration from 0 to 30d"),
    ("cycles", balancer("@GreenDwell cycles=65/day"), "must be N/day with N from 1 to 64"),
    ("cycles-plain", balancer("@GreenDwell cycles=24"), "must be N/day with N from 1 to 64"),
    ("interval", balancer("@GreenHealth interval=99ms"),
     "GreenHealth interval=99ms: must be a duration from 100ms to 1h"),
    ("interval-overflow", balancer("@GreenHealth interval=99999999999999999999d"),
     "must be a duration from 100ms to 1h"),
    ("timeout", balancer("@GreenHealth timeout=0"), "must be a duration from 10ms to 5m"),
    ("duration-unit", balancer("@GreenHealth timeout=1sec"), "must be a duration from 10ms"),
    ("duration-sign", balancer("@GreenDrain timeout=-1s"),
     "GreenDrain timeout=-1s: must be a duration from 100ms to 30d"),
    ("rise", balancer("@GreenHealth rise=0"), "must be a number from 1 to 100"),
    ("fall", balancer("@GreenHealth fall=101"), "must be a number from 1 to 100"),
    ("expect", balancer("@GreenHealth expect=399-200"),
     "GreenHealth expect=399-200: must be FROM-TO"),
    ("uri", balancer("@GreenHealth uri=health"), "must be a path that begins with /"),
    ("uri-space", balancer('@GreenHealth "uri=/a b"'), "must be a path that begins with /"),
    ("host", balancer("@GreenHealth host=a/b"), "must be a host's name"),
    ("verify", balancer("@GreenHealth verify=yes"), "GreenHealth verify=yes: must be on or off"),
    ("reverse", balancer("@GreenReverseHealth fall=0"), "must be a number from 1 to 100"),
    ("packets", balancer("@GreenWake packets=21"),
     "GreenWake packets=21: must be a number from 1 to 20"),
    ("atonce", balancer("@GreenWake atonce=0"), "must be a number from 1 to 4096"),
    ("retry", balancer("@GreenWake retry=0"), "must be a duration from 100ms to 1h"),
    ("beat", balancer("@GreenReverseHealth beat=0"),
     "GreenReverseHealth beat=0: must be a duration from 100ms to 1h"),
    # GreenHold, GreenQueue, GreenWakeIgnore
    ("hold", balancer("@GreenHold 100"), "GreenHold 100: allowed are max=, timeout=, page="),
    ("hold-max", balancer("@GreenHold max=100001"),
     "GreenHold max=100001: must be a number from 0 to 100000"),
    ("hold-timeout", balancer("@GreenHold timeout=25h"),
     "GreenHold timeout=25h: must be a duration from 0 to 1d"),
    ("hold-page", balancer("@GreenHold page="),
     "GreenHold page=: must be on, off or the path of a file"),
    ("hold-outside", "@GreenHold max=5\n", "GreenHold belongs into a section <Proxy"),
    ("queue", balancer("@GreenQueue lifo"), "GreenQueue lifo: must be off, fifo or late-last"),
    ("queue-none", balancer("@GreenQueue"), "GreenQueue: must be off, fifo or late-last"),
    ("queue-late-alone", balancer("@GreenQueue late=1s"),
     "GreenQueue late=1s: must be off, fifo or late-last"),
    ("queue-late", balancer("@GreenQueue fifo late=0"),
     "GreenQueue late=0: must be a duration from 1ms to 1h"),
    ("queue-key", balancer("@GreenQueue fifo max=3"), "GreenQueue max=3: allowed are late="),
    ("queue-late-twice", balancer("@GreenQueue fifo late=1s late=2s"),
     "GreenQueue: late= is given twice"),
    ("queue-outside", "@GreenQueue fifo\n", "GreenQueue belongs into a section <Proxy"),
    ("ignore", balancer('@GreenWakeIgnore "%{REQUEST_URI} =="'),
     'GreenWakeIgnore "%{REQUEST_URI} ==": syntax error'),
    ("ignore-function", balancer("@GreenWakeIgnore \"nosuch('x') == 'y'\""),
     "Function 'nosuch' does not exist"),
    ("ignore-pattern", balancer("@GreenWakeIgnore \"%{REQUEST_URI} =~ m#(#\""),
     "GreenWakeIgnore \"%{REQUEST_URI} =~ m#(#\": "),
    ("ignore-outside", '@GreenWakeIgnore "true"\n',
     "GreenWakeIgnore belongs into a section <Proxy"),
    # GreenSlowStart, GreenOutlier, GreenSticky, GreenHardOff
    ("slow-start", balancer("@GreenSlowStart fast"),
     "GreenSlowStart fast: must be a duration from 0 to 1d"),
    ("slow-start-two", balancer("@GreenSlowStart 1 2"), "GreenSlowStart takes one argument"),
    ("slow-start-outside", "@GreenSlowStart 1\n", "GreenSlowStart belongs into a section"),
    ("outlier", balancer("@GreenOutlier off"),
     "GreenOutlier off: allowed are errors=, within=, eject="),
    ("outlier-errors", balancer("@GreenOutlier errors=10001"),
     "GreenOutlier errors=10001: must be a number from 0 to 10000"),
    ("outlier-within", balancer("@GreenOutlier within=0"),
     "GreenOutlier within=0: must be a duration from 100ms to 1d"),
    ("outlier-eject", balancer("@GreenOutlier eject=2d"), "GreenOutlier eject=2d: must be"),
    ("outlier-outside", "@GreenOutlier errors=1\n", "GreenOutlier belongs into a section"),
    ("sticky", balancer("@GreenSticky stay"),
     "GreenSticky stay: must be move or wait=DURATION"),
    ("sticky-wait", balancer("@GreenSticky wait=0"),
     "GreenSticky wait=0: must be a duration from 100ms to 30d"),
    ("sticky-both", balancer("@GreenSticky move wait=1m"), "GreenSticky takes one argument"),
    ("sticky-outside", "@GreenSticky move\n", "GreenSticky belongs into a section"),
    ("hard-off", balancer("@GreenHardOff maybe"), "GreenHardOff maybe: must be on or off"),
    ("hard-off-outside", "@GreenHardOff on\n", "GreenHardOff belongs into a section"),
    # replicated writes
    ("replicas", balancer("@GreenReplicas own"),
     "GreenReplicas own: must be shared or independent"),
    ("replicas-outside", "@GreenReplicas shared\n", "GreenReplicas belongs into a section"),
    ("commit", balancer("@GreenCommit on"),
     "GreenCommit on: must be off, or quorum=N or quorum=all, and then wait=DURATION"),
    ("commit-none", balancer("@GreenCommit"), "GreenCommit: must be off, or quorum=N"),
    ("commit-off-and", balancer("@GreenCommit off wait=1s"), "GreenCommit off: must be off"),
    ("commit-wait-first", balancer("@GreenCommit wait=1s quorum=2"),
     "GreenCommit wait=1s: must be off, or quorum=N"),
    ("commit-quorum", balancer("@GreenCommit quorum=0"),
     "GreenCommit quorum=0: must be a number of servers from 1 to 64, or all"),
    ("commit-quorum-many", balancer("@GreenCommit quorum=65"), "from 1 to 64, or all"),
    ("commit-quorum-word", balancer("@GreenCommit quorum=most"), "from 1 to 64, or all"),
    ("commit-wait", balancer("@GreenCommit quorum=2 wait=61m"),
     "GreenCommit wait=61m: must be a duration from 0 to 1h"),
    ("commit-late", balancer("@GreenCommit quorum=2 late=500"),
     "GreenCommit late=500: must be 202 or 503"),
    ("commit-twice", balancer("@GreenCommit quorum=2 quorum=2"),
     "GreenCommit: quorum= is given twice"),
    ("commit-key", balancer("@GreenCommit quorum=2 delay=1"),
     "GreenCommit delay=1: allowed are quorum=, wait=, late="),
    ("commit-release", balancer("@GreenCommit quorum=2 release=all"),
     "GreenCommit release=all: not built yet, for clients do not hold what they have"),
    ("limits-quorum", balancer("@GreenCommitLimits quorum=3-2"),
     "GreenCommitLimits quorum=3-2: must be MIN-MAX, two numbers of servers from 1 to 64"),
    ("limits-quorum-one", balancer("@GreenCommitLimits quorum=2"), "must be MIN-MAX, two"),
    ("limits-quorum-all", balancer("@GreenCommitLimits quorum=all-2"), "must be MIN-MAX"),
    ("limits-wait", balancer("@GreenCommitLimits wait=2s-1s"),
     "GreenCommitLimits wait=2s-1s: must be MIN-MAX, two durations from 0 to 1h"),
    ("limits-wait-long", balancer("@GreenCommitLimits wait=0-61m"), "must be MIN-MAX"),
    ("limits-wait-word", balancer("@GreenCommitLimits wait=" + 40 * "1" + "-2"),
     "must be MIN-MAX"),
    ("limits-key", balancer("@GreenCommitLimits need=1-2"),
     "GreenCommitLimits need=1-2: allowed are quorum=, wait="),
    ("decide", balancer("@GreenCommitDecide http://x/"),
     "GreenCommitDecide http://x/: must be a path that begins with /"),
    ("backend", balancer("@GreenCommitBackend l3"),
     "GreenCommitBackend l3: must be l0 or l1"),
    ("backend-l2", balancer("@GreenCommitBackend L2"),
     "GreenCommitBackend L2: is not built yet: must be l0 or l1"),
    ("body", balancer("@GreenCommitBody 1023"),
     "GreenCommitBody 1023: must be a size from 1K to 64M, such as 64K, 1M"),
    ("body-large", balancer("@GreenCommitBody 65M"), "must be a size from 1K to 64M"),
    ("body-unit", balancer("@GreenCommitBody 1MB"), "must be a size from 1K to 64M"),
    ("headers", balancer("@GreenCommitHeaders"), "GreenCommitHeaders: needs from 1 to 32"),
    ("headers-cookie", balancer("@GreenCommitHeaders Accept COOKIE"),
     "GreenCommitHeaders COOKIE: is a secret of the client, and must not be kept"),
    ("headers-authorization", balancer("@GreenCommitHeaders Authorization"),
     "GreenCommitHeaders Authorization: is a secret of the client"),
    ("headers-hop", balancer("@GreenCommitHeaders Transfer-Encoding"),
     "GreenCommitHeaders Transfer-Encoding: belongs to one connection"),
    ("headers-length", balancer("@GreenCommitHeaders Content-Length"),
     "GreenCommitHeaders Content-Length: is written anew for each server"),
    ("headers-host", balancer("@GreenCommitHeaders Host"),
     "GreenCommitHeaders Host: is written anew for each server"),
    ("headers-own", balancer("@GreenCommitHeaders Green-Commit-Role"),
     "GreenCommitHeaders Green-Commit-Role: is the module's own"),
    ("headers-key", balancer("@GreenCommitHeaders Idempotency-Key"),
     "GreenCommitHeaders Idempotency-Key: is sent in any case"),
    ("headers-twice", balancer("@GreenCommitHeaders X-A x-a"),
     "GreenCommitHeaders x-a: is named twice"),
    ("headers-colon", balancer("@GreenCommitHeaders X-A:"),
     "GreenCommitHeaders X-A:: must be the name of a request header field"),
    ("stale", balancer("@GreenCommitStale serve"),
     "GreenCommitStale serve: must be refuse or mark"),
    ("resync", balancer("@GreenResync"), "GreenResync needs a COMMAND"),
    ("journal-in-host", "<VirtualHost *:1>\n@GreenJournal j\n</VirtualHost>\n",
     "GreenJournal cannot occur within <VirtualHost> section"),
    ("journal", "@GreenJournal size=1G\n",
     "GreenJournal size=1G: needs a FILE, and then size=SIZE, key=FILE and"),
    ("journal-none", "@GreenJournal\n", "GreenJournal: needs a FILE"),
    ("journal-size", "@GreenJournal j size=3M\n",
     "GreenJournal size=3M: must be a size from 4M to 4096G"),
    ("journal-size-overflow", "@GreenJournal j size=99999999999G\n", "must be a size from 4M"),
    ("journal-retain", "@GreenJournal j retain=59s\n",
     "GreenJournal retain=59s: must be a duration from 1m to 366d"),
    ("journal-key", "@GreenJournal j key=\n", "GreenJournal key=: must be a path"),
    ("journal-twice", "@GreenJournal j size=4M SIZE=5M\n",
     "GreenJournal SIZE=5M: is given twice"),
    ("journal-unknown", "@GreenJournal j keep=1d\n",
     "GreenJournal keep=1d: allowed are size=, key=, retain="),
    # keys of members
    ("domain", member("domain=a/b"), "domain=a/b: must be a name of at most 63"),
    ("mttf", member("mttf=59m"), "mttf=59m: must be a duration from 1h to 36500d"),
    ("mttf-long", member("mttf=36501d"), "mttf=36501d: must be a duration from 1h"),
    ("wake-agent", member("wake=agent"),
     "BalancerMember wake=agent: agent can put a machine to sleep only, for it runs on the "
     "machine and sleeps with it; allowed are wol, ipmi, redfish and the names of"),
    ("wake-empty", member("wake="), "wake=: allowed are wol, ipmi, redfish and the names"),
    ("wake-comma", member("wake=wol,,ipmi"), "wake=wol,,ipmi: allowed are wol, ipmi"),
    ("wake-twice", member("wake=ipmi,wol,ipmi"), "wake=ipmi,wol,ipmi: ipmi is named twice"),
    ("wake-many", member("wake=a,b,c,d,e"), "wake=a,b,c,d,e: a ladder has at most 4 ways"),
    ("sleep-wol", member("sleep=wol"),
     "sleep=wol: wol can wake a machine only; allowed are agent, ipmi, redfish and the"),
    ("sleep-comma", member("sleep=redfish,"), "sleep=redfish,: allowed are agent, ipmi, "),
    ("machine", member("machine=a/b"), "machine=a/b: must be a name of at most 63"),
    ("mac", member("mac=52:54:00:12:34"), "mac=52:54:00:12:34: must be a network card's"),
    ("mac-group", member("mac=ff:ff:ff:ff:ff:ff"), "not multicast or broadcast"),
    ("wolto", member("wolto=10.0.0.256"), "wolto=10.0.0.256: must be HOST or HOST:PORT"),
    ("wolif", member("wolif=a/b"), "wolif=a/b: must be the name of a network interface"),
    ("ipmi", member("ipmi=::1"), "ipmi=::1: must be HOST or HOST:PORT of a management"),
    ("ipmi-port", member("ipmi=10.0.1.1:0"), "ipmi=10.0.1.1:0: must be HOST or HOST:PORT"),
    ("redfish", member("redfish=10.0.1.1"),
     "redfish=10.0.1.1: must be the URL of a computer system or of its Redfish service"),
    ("redfish-scheme", member("redfish=ftp://h"), "redfish=ftp://h: must be the URL"),
    ("redfish-user", member("redfish=https://a:b@h"), "without user, query or fragment"),
    ("redfish-query", member("redfish=https://h/x?y=z"), "without user, query or fragment"),
    ("redfish-dots", member("redfish=https://h/a/../b"), "must be the URL of a computer"),
    ("capacity", member("capacity=0"), "capacity=0: must be a number of concurrent requests"),
    ("capacity-many", member("capacity=65536"), "from 1 to 65535"),
    ("watts", member("watts=100"), "watts=100: must be IDLE:PEAK"),
    ("watts-nan", member("watts=nan:200"), "must be IDLE:PEAK"),
    ("watts-ten", member("watts=1,2,3,4,5,6,7,8,9,10"), "or 11 watts separated by commas"),
    ("offwatts", member("offwatts=-5"), "offwatts=-5: must be watts from 0 to 100000"),
    ("boot", member("boot=0"), "boot=0: must be a duration from 100ms to 1d"),
    ("unknown-member-key", member("colour=green"),
     "BalancerMember unknown Worker parameter colour="),
    ("misspelt-key", member("capcity=3"),
     "unknown Worker parameter capcity=; is capacity= meant?"),
    ("misspelt-short-key", member("WAEK=wol"),
     "unknown Worker parameter WAEK=; is wake= meant?"),
    ("misspelt-in-proxy-pass", '@ProxyPass "/" "http://10.0.0.1/" offwats=5\n',
     "unknown Worker parameter offwats=; is offwatts= meant?"),
    ("not-a-balancer", '@ProxyPass "/" "http://10.0.0.1/" wake=wol\n',
     "wake= is a key for members of a balancer"),
    # the main server
    ("state-dir-in-host", "<VirtualHost *:1>\n@GreenStateDir /x\n</VirtualHost>\n",
     "GreenStateDir cannot occur within <VirtualHost> section"),
    ("runtime-dir-in-host", "<VirtualHost *:1>\n@GreenRuntimeDir /x\n</VirtualHost>\n",
     "GreenRuntimeDir cannot occur within <VirtualHost> section"),
    ("secrets-in-host", "<VirtualHost *:1>\n@GreenSecrets /x\n</VirtualHost>\n",
     "GreenSecrets cannot occur within <VirtualHost> section"),
    ("user-in-host", "<VirtualHost *:1>\n@GreenKeeperUser daemon\n</VirtualHost>\n",
     "GreenKeeperUser cannot occur within <VirtualHost> section"),
    ("driver-in-host", "<VirtualHost *:1>\n@GreenPowerDriver a /bin/true\n</VirtualHost>\n",
     "GreenPowerDriver cannot occur within <VirtualHost> section"),
    ("members-in-host", "<VirtualHost *:1>\n@GreenMembers 9\n</VirtualHost>\n",
     "GreenMembers cannot occur within <VirtualHost> section"),
    ("bmc-ca-in-host", "<VirtualHost *:1>\n@GreenBmcCA /x\n</VirtualHost>\n",
     "GreenBmcCA cannot occur within <VirtualHost> section"),
    ("members-in-proxy", balancer("@GreenMembers 9"), "GreenMembers not allowed in <Proxy> context"),
    ("members", "@GreenMembers 4097\n", "GreenMembers 4097: must be a number from 1 to 4096"),
    ("driver-alone", "@GreenPowerDriver pdu\n", "GreenPowerDriver needs a NAME and a COMMAND"),
    ("driver-reserved", "@GreenPowerDriver IPMI /bin/true\n",
     "GreenPowerDriver IPMI: a name has at most 63"),
    ("driver-twice", "GreenPowerDriver pdu /bin/true\n@GreenPowerDriver pdu /bin/true\n",
     "GreenPowerDriver pdu: already defined on line"),
    ("secrets-empty", '@GreenSecrets ""\n', "GreenSecrets takes one argument"),
]

SECRETS = "GreenSecrets DIR/secrets\n"
JOURNAL = "GreenJournal DIR/journal.db key=KEY\n"
HTTPS = ["http://10.0.0.1", "https://10.0.0.2"]
SSL = "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n"
ENGINE = SSL + "SSLProxyEngine on\n"


def replicas(*lines, members=("http://10.0.0.1", "http://10.0.0.2"), journal=JOURNAL,
             leave_out=()):
    """A balancer of replicas with their own storage; lines are added, others left out."""
    kept = [x for x in ("ProxySet lbmethod=bypower", "GreenBalance on",
                        "GreenReplicas independent") if x not in leave_out]
    return journal + '<Proxy "balancer://app">\n%s\n</Proxy>\n' % "\n".join(
        ["BalancerMember " + x for x in members] + kept + list(lines))

# Found when all is read: the message ends with "(line N of FILE)".
CHECKS = [
    ("offwatts-idle", member("watts=62:214 offwatts=62.5"),
     "offwatts=62.5 is more than the 62 watts that it draws idle: correct one of them"),
    ("offwatts-assumed", member("offwatts=101"),
     "more than the 100 watts that it draws idle (watts= is not given)"),
    ("wol-without-mac", member("wake=wol"), "http://10.0.0.1: wake=wol needs mac="),
    ("ipmi-without-address", SECRETS + member("wake=ipmi"),
     "http://10.0.0.1: the way ipmi needs ipmi=HOST"),
    ("ipmi-without-secrets", member("sleep=ipmi ipmi=10.0.1.1"),
     'needs a password: add a line "ipmi 10.0.1.1:623 USER PASSWORD"'),
    ("no-such-driver", member("wake=pdu"), "wake=pdu: no GreenPowerDriver of that name"),
    ("no-such-sleep-driver", member("sleep=pdu"),
     "sleep=pdu: no GreenPowerDriver of that name; allowed are agent, ipmi, redfish and"),
    ("redfish-without-url", SECRETS + member("wake=redfish"),
     "http://10.0.0.1: the way redfish needs redfish=URL"),
    ("redfish-without-secrets", member("sleep=redfish redfish=https://BMC:443/"),
     'needs a password: add a line "redfish https://bmc USER PASSWORD"'),
    ("agent-without-secrets", member("wake=wol sleep=agent mac=52:54:00:12:34:56"),
     'sleep=agent needs the agent\'s key: add a line "agent http://10.0.0.1:80 KEY"'),
    ("page-missing", balancer("@GreenHold page=none.html"),
     "balancer://app: GreenHold page=none.html: DIR/none.html: No such file or directory"),
    ("page-a-directory", balancer("@GreenHold page=DIR"),
     "balancer://app: GreenHold page=DIR: DIR is no regular file"),
    ("page-large", balancer("@GreenHold page=large.html"),
     "DIR/large.html has 262145 bytes; at most 262144 are allowed"),
    ("move-without-failover",
     balancer("ProxySet stickysession=ID nofailover=On", "@GreenSticky move"),
     "balancer://app: GreenSticky move does not go with nofailover=On"),
    ("move-without-failover-in-host",
     '<Proxy "balancer://app">\n@GreenSticky move\n</Proxy>\n<VirtualHost *:1>\n' +
     balancer("ProxySet nofailover=On") + "</VirtualHost>\n",
     "balancer://app: GreenSticky move does not go with nofailover=On"),
    ("queue-by-another-method", balancer("@GreenQueue fifo"),
     "balancer://app: GreenQueue needs the method that knows the servers' capacity, and the "
     "balancer's is byrequests"),
    ("queue-in-host", balancer() + '<VirtualHost *:1>\n<Proxy "balancer://app">\n'
     "@GreenQueue late-last\n</Proxy>\n</VirtualHost>\n", "GreenQueue needs the method"),
    ("commit-of-a-shared-database",
     replicas("@GreenCommit quorum=1", leave_out=["GreenReplicas independent"]),
     "balancer://app: GreenCommit sends each write to every server, so that servers that "
     "share a database would apply it once each, 2 times in all: say GreenReplicas"),
    ("commit-said-to-be-shared", replicas("GreenReplicas shared", "@GreenCommit quorum=1"),
     "GreenCommit sends each write to every server"),
    ("commit-unmanaged", replicas("@GreenCommit quorum=1", leave_out=["GreenBalance on"]),
     "GreenCommit needs to know which servers are there: say GreenBalance on"),
    ("commit-by-another-method",
     replicas("@GreenCommit quorum=1", leave_out=["ProxySet lbmethod=bypower"]),
     'and the balancer\'s is byrequests: add "ProxySet lbmethod=bypower"'),
    ("commit-many-members", replicas("@GreenCommit quorum=1", members=[
        "http://10.0.0.%d" % i for i in range(1, 66)]),
     "GreenCommit serves at most 64 members, and it has 65"),
    ("commit-quorum-above", replicas("@GreenCommit quorum=3"),
     "GreenCommit quorum=3 is more than the 2 members that there are: no write would"),
    ("commit-of-a-spare", replicas("@GreenCommit quorum=1", members=[
        "http://10.0.0.1", "http://10.0.0.2 status=+R"]),
     "GreenCommit: BalancerMember http://10.0.0.2: a spare or standby (status=+H, +R) "
     "cannot be a replica"),
    ("commit-of-a-standby", replicas("GreenCommit quorum=1", members=[
        "http://10.0.0.1", "http://10.0.0.2 status=+H capacity=3"]).replace(
            "BalancerMember http://10.0.0.2", "@BalancerMember http://10.0.0.2"),
     "GreenCommit: BalancerMember http://10.0.0.2: a spare or standby"),
    ("commit-by-another-scheme", replicas("@GreenCommit quorum=1", members=[
        "http://10.0.0.1", "ajp://10.0.0.2"]),
     "BalancerMember ajp://10.0.0.2: writes are sent by http and https only"),
    ("commit-by-a-socket", replicas("@GreenCommit quorum=1", members=[
        "http://10.0.0.1", "unix:/run/app.sock|http://app"]),
     "writes are sent by http and https only, over TCP"),
    ("commit-https-without-engine", replicas("@GreenCommit quorum=1", members=HTTPS),
     "its members are reached by https: add SSLProxyEngine on"),
    ("commit-https-engine-off", ENGINE + replicas(
        "SSLProxyEngine off", "@GreenCommit quorum=1", members=HTTPS),
     "its members are reached by https: add SSLProxyEngine on"),
    ("commit-https-optional", ENGINE + "@SSLProxyVerify optional\n" + replicas(
        "GreenCommit quorum=1", members=HTTPS),
     "GreenCommit knows SSLProxyVerify none and require"),
    ("commit-https-no-authority", ENGINE + replicas(
        "GreenCommit quorum=1", "@SSLProxyVerify require", members=HTTPS),
     "SSLProxyVerify require needs the authority's certificate"),
    ("commit-https-of-a-client", ENGINE + replicas(
        "GreenCommit quorum=1", "<IfModule ssl_module>",
        "@SSLProxyMachineCertificatePath DIR", "</IfModule>", members=HTTPS),
     "which know nothing of SSLProxyMachineCertificatePath: leave it out"),
    ("commit-https-revoked", ENGINE + "@SSLProxyCARevocationCheck chain\n" +
     replicas("GreenCommit quorum=1", members=HTTPS),
     "which know nothing of SSLProxyCARevocationCheck"),
    ("commit-limits-without-quorum", replicas(
        "GreenCommit quorum=2", "@GreenCommitLimits quorum=1-1"),
     "GreenCommitLimits quorum=1-1 leaves out GreenCommit's own quorum=2"),
    ("commit-limits-above", replicas(
        "GreenCommit quorum=2", "@GreenCommitLimits quorum=1-3"),
     "GreenCommitLimits quorum=1-3 is more than the 2 members that there are"),
    ("commit-limits-without-wait", replicas(
        "GreenCommit quorum=2", "@GreenCommitLimits wait=1s-2s"),
     "GreenCommitLimits wait=1s-2s leaves out GreenCommit's own wait, 300ms"),
    ("resync-command", replicas("@GreenResync DIR/nothing"),
     "balancer://app: GreenResync: DIR/nothing is no file that can be executed"),
    ("commit-body-for-the-journal", replicas(
        "GreenCommit quorum=2", "@GreenCommitBody 2M",
        journal="GreenJournal j key=KEY size=4M\n"),
     "GreenCommitBody 2M: the journal, of 4194304 bytes, must have room for 4 such writes"),
    ("journal-without-key", replicas("GreenCommit quorum=1", journal="@GreenJournal j\n"),
     "balancer://app: GreenCommit needs a key that the journal is sealed with: say "
     "GreenJournal DIR/state/j key=FILE; such a file is made by (umask 077; head -c 32 "
     "/dev/urandom > FILE), on another disk than the journal's"),
    ("commit-without-journal", replicas("@GreenCommit quorum=1", journal=""),
     "say GreenJournal DIR/state/journal.db key=FILE"),
    ("journal-key-missing",
     replicas("GreenCommit quorum=1", journal="@GreenJournal j key=none\n"),
     "GreenJournal key=DIR/none: No such file or directory: make one by (umask 077; head "
     "-c 32 /dev/urandom > DIR/none), and keep a copy of it"),
    ("journal-key-short",
     replicas("GreenCommit quorum=1", journal="@GreenJournal j key=secrets\n"),
     "GreenJournal key=DIR/secrets: must be a file of 32 bytes"),
    ("journal-key-a-directory",
     replicas("GreenCommit quorum=1", journal="@GreenJournal j key=DIR\n"),
     "GreenJournal key=DIR: must be a file of 32 bytes"),
    ("journal-in-memory",
     replicas("GreenCommit quorum=1", journal="@GreenJournal /dev/shm/j/j.db key=KEY\n"),
     "GreenJournal /dev/shm/j/j.db: /dev/shm lies in memory (tmpfs) and would forget"),
    ("journal-a-directory",
     replicas("GreenCommit quorum=1", journal="@GreenJournal DIR/state key=KEY\n"),
     "GreenJournal DIR/state: must be a regular file"),
    ("journal-nowhere",
     replicas("GreenCommit quorum=1", journal="@GreenJournal DIR/none/j.db key=KEY\n"),
     "GreenJournal DIR/none/j.db: there is no directory DIR/none: make it, by install -d"),
    ("bmc-ca", "@GreenBmcCA none.pem\n", "GreenBmcCA DIR/none.pem: No such file or directory"),
    ("bmc-ca-special", "@GreenBmcCA /dev/null\n", "GreenBmcCA /dev/null: must be a file of"),
    ("default-port-and-case", member("wake=wol", url="http://Web1.Example.NET:80/x"),
     "http://web1.example.net/x: wake=wol needs mac="),
    ("unix-socket", member("wake=wol", url="unix:/run/app.sock|http://app"),
     "wake=wol needs mac="),
    ("long-form", '@BalancerMember "balancer://App" "http://10.0.0.1" wake=wol\n',
     "wake=wol needs mac="),
    ("in-a-module-test", "<IfModule proxy_module>\n" + member("wake=wol") + "</IfModule>\n",
     "wake=wol needs mac="),
    ("in-a-virtual-host",
     balancer("BalancerMember http://10.0.0.2", name="main") +
     "<VirtualHost *:1>\n" + member("capacity=3").replace("@", "") + "</VirtualHost>\n" +
     "<VirtualHost *:2>\n" + member("wake=wol") + "</VirtualHost>\n",
     "wake=wol needs mac="),
    ("hidden-by-the-main-server",
     balancer() + "<VirtualHost *:1>\n" + member("capacity=3") + "</VirtualHost>\n",
     "mod_proxy ignores it"),
    ("sleep-above-wake", balancer("@GreenThreshold sleep=80%"),
     "balancer://app: GreenThreshold sleep=80% must be less than wake=80%"),
    ("wake-below-sleep", balancer("@GreenThreshold wake=40.5%"),
     "GreenThreshold sleep=50% must be less than wake=40.5%"),
    ("sleep-above-inherited-wake",
     balancer("GreenThreshold wake=60% sleep=30%") +
     '<VirtualHost *:1>\n<Proxy "balancer://app">\n@GreenThreshold sleep=70%\n</Proxy>\n'
     "</VirtualHost>\n", "GreenThreshold sleep=70% must be less than wake=60%"),
    ("no-such-balancer", '<Proxy "balancer://ap">\n@GreenBalance on\n</Proxy>\n',
     "balancer://ap: no balancer of this name has a member"),
    ("driver-command", "@GreenPowerDriver pdu DIR/nothing\n",
     "GreenPowerDriver pdu: DIR/nothing is no file that can be executed"),
    ("driver-not-executable", "@GreenPowerDriver pdu DIR/httpd.conf\n",
     "DIR/httpd.conf is no file that can be executed"),
    ("secrets-missing", "@GreenSecrets DIR/none\n",
     "GreenSecrets DIR/none: No such file or directory"),
    ("secrets-a-directory", "@GreenSecrets DIR\n", "GreenSecrets DIR: must be a file"),
    ("state-dir-a-file", "@GreenStateDir DIR/secrets\n" + balancer("GreenBalance observe"),
     "DIR/secrets is no directory"),
    ("state-dir-in-memory", "@GreenStateDir /dev/shm/a/b\n" + balancer("GreenBalance on"),
     "GreenStateDir /dev/shm/a/b: /dev/shm lies in memory"),
    ("members-too-many",
     "@GreenMembers 1\n" + balancer("BalancerMember http://10.0.0.2", "GreenBalance on"),
     "2 members are configured, and there is room for 1"),
    ("members-too-many-by-method",
     "@GreenMembers 1\n" + balancer("BalancerMember http://10.0.0.2",
                                    "ProxySet lbmethod=bypower"),
     "2 members are configured, and there is room for 1"),
]


def joined(first, second):
    """Two members of two balancers; the second one's line is marked."""
    return ('GreenPowerDriver pdu /bin/true\nGreenPowerDriver ssh /bin/true\n' + SECRETS +
            '<Proxy "balancer://a">\nBalancerMember "http://10.0.0.1" %s\n</Proxy>\n'
            '<Proxy "balancer://b">\n@BalancerMember "http://10.0.0.2" %s\n</Proxy>\n'
            % (first, second))


MAC1, MAC2 = "52:54:00:12:34:01", "52:54:00:12:34:02"

CONTRADICTIONS = [
    ("machine", "machine=a mac=" + MAC1, "machine=b mac=" + MAC1, "machine=: a and b"),
    ("mac", "machine=a mac=" + MAC1, "machine=a mac=" + MAC2, "mac=: %s and %s" % (MAC1, MAC2)),
    ("ipmi", "machine=a ipmi=10.0.1.1", "machine=a ipmi=10.0.1.1:6230",
     "ipmi=: 10.0.1.1:623 and 10.0.1.1:6230"),
    ("redfish", "machine=a redfish=https://h", "machine=a redfish=https://h:8443/",
     "redfish=: https://h and https://h:8443"),
    ("joined-by-redfish", "redfish=https://h/a boot=2m", "redfish=HTTPS://H:443/a/ boot=3m",
     "boot=: 120000ms and 180000ms"),
    ("wake", "machine=a wake=pdu", "machine=a wake=pdu,ssh", "wake=: pdu and pdu,ssh"),
    ("sleep", "mac=%s sleep=pdu" % MAC1, "mac=%s sleep=ssh" % MAC1, "sleep=: pdu and ssh"),
    ("wolto", "mac=%s wolto=10.0.0.255" % MAC1, "mac=%s wolto=10.0.0.255:7" % MAC1,
     "wolto=: 10.0.0.255 port 9 and 10.0.0.255 port 7"),
    ("wolif", "machine=a wolif=eth0", "machine=a wolif=eth1", "wolif=: eth0 and eth1"),
    ("watts", "machine=a watts=1:2", "machine=a watts=1:3", "watts=: 1,1.1,"),
    ("offwatts", "ipmi=h offwatts=5", "ipmi=H:623 offwatts=6", "offwatts=: 5 and 6"),
    ("boot", "machine=a boot=2m", "machine=a boot=121", "boot=: 120000ms and 121000ms"),
    ("domain", "machine=a domain=rack1", "machine=a domain=rack2", "domain=: rack1 and rack2"),
    ("mttf", "machine=a mttf=1d", "machine=a mttf=2h", "mttf=: 86400s and 7200s"),
]

GOOD = [
    ("nothing", ""),
    ("module-test-inside", balancer("<IfModule proxy_module>", "GreenBalance on",
                                    "</IfModule>")),
    ("later-wins", balancer("GreenThreshold wake=40% sleep=20%", "GreenThreshold wake=90%",
                            "GreenThreshold sleep=60%")),
    ("ranges", balancer(
        "GreenHealth interval=100ms timeout=5m rise=100 fall=1 expect=204 verify=ON",
        "GreenDwell awake=0 asleep=30d cycles=64/day", "GreenDrain timeout=100ms",
        "GreenWake timeout=1d retry=100ms packets=20 atonce=4096",
        "GreenAwake min=0 spare=4096",
        "GreenReverseHealth interval=100ms fall=100 beat=100ms",
        "GreenHold max=100000 timeout=1d page=OFF", "GreenQueue OFF late=1h",
        "GreenSlowStart 0", "GreenOutlier errors=0 within=100ms eject=1d",
        "GreenSticky MOVE", "GreenHardOff ON", "GreenWakeIgnore false",
        "GreenThreshold wake=1.1% sleep=1%")),
    ("policies", "".join(
        balancer("GreenPolicy " + policy, name="app%d" % i) for i, policy in enumerate([
            "threshold", "Autoscale", "autoscale wait=1s", "autoscale wait=1d", "lcp", "kpa",
            "kpa target=10%", "kpa target=100%", "NEWS", "news budget=0.1%",
            "news BUDGET=20%"]))),
    ("schedules", balancer(
        'GreenSchedule "Mon-Fri 08:00-18:00" min=1',
        'GreenSchedule "Sat,Sun 22:00-06:00" min=1 tz=Europe/Berlin',
        'GreenSchedule "* 00:00-24:00" min=1 tz=UTC',
        'GreenSchedule "daily 12:00-12:01" tz=America/Argentina/Ushuaia min=1')),
    ("scale-to-zero", balancer("ProxySet lbmethod=bypower", "GreenBalance on",
                               "GreenAwake min=0")),
    ("scale-to-zero-without-waiting", balancer(
        "ProxySet lbmethod=bypower", "GreenBalance on", "GreenAwake min=0",
        "GreenHold max=0 page=off")),
    ("page-of-the-largest-size", balancer("GreenHold page=page.html")),
    ("page-turned-off-in-host", '<Proxy "balancer://app">\nGreenHold page=page.html\n'
     '</Proxy>\n<VirtualHost *:1>\n' + balancer("GreenHold page=off") + "</VirtualHost>\n"),
    ("later-sticky-wins", balancer("ProxySet stickysession=ID nofailover=On",
                                   "GreenSticky move", "GreenSticky wait=5m")),
    ("move", balancer("ProxySet stickysession=ID", "GreenSticky move")),
    ("queue-by-power", balancer("GreenQueue late-last late=300ms",
                                "ProxySet lbmethod=bypower")),
    ("hold-without-timeout", balancer(
        "BalancerMember http://10.0.0.2 wake=pdu boot=3m", "GreenHold max=5") +
     "GreenPowerDriver pdu /bin/true\n"),
    ("ignore-in-host", balancer('GreenWakeIgnore "%{HTTP_USER_AGENT} =~ /bot/"') +
     '<VirtualHost *:1>\n<Proxy "balancer://app">\nGreenWakeIgnore "-R \'10.0.0.0/8\'"\n'
     "</Proxy>\n</VirtualHost>\n"),
    ("every-way", SECRETS + member("wake=WOL,Redfish,ipmi sleep=Agent,redfish,ipmi mac=%s "
                                   "ipmi=h redfish=https://h/redfish/v1" % "52:54:00:12:34:01")),
    ("commit-ranges", SSL + replicas(
        "GreenCommit quorum=2 wait=1h late=503", "GreenCommitLimits quorum=1-ALL wait=0-1h",
        "GreenCommitDecide /decide?all=1", "GreenCommitBackend L1", "GreenCommitBody 64M",
        "GreenCommitHeaders Accept-Language X-Tenant", "GreenCommitStale MARK",
        "GreenResync driver --from", "SSLProxyEngine on", "SSLProxyVerify require",
        "SSLProxyCACertificateFile page.html", members=[
            "http://10.0.0.1 domain=rack-1 mttf=1h", "https://10.0.0.2 domain=rack-1 "
            "mttf=36500d"]) + "GreenJournal j key=KEY size=4096G retain=366d\n"),
    ("commit-all", replicas("GreenCommit quorum=ALL wait=0", "GreenCommitBody 1024",
                            "GreenCommitLimits quorum=1-all",
                            journal="GreenJournal j key=KEY size=4M retain=60\n")),
    ("commit-https", ENGINE + "SSLProxyCARevocationCheck none\n" + replicas(
        "GreenCommit quorum=1", members=HTTPS)),
    ("commit-observed", replicas("GreenCommit quorum=2", "GreenBalance observe")),
    ("commit-off", replicas("GreenCommit quorum=9", "GreenCommit off", journal="")),
    ("commit-off-in-host", replicas("GreenCommit quorum=1") +
     '<VirtualHost *:1>\n<Proxy "balancer://app">\nGreenCommit off\n</Proxy>\n'
     "</VirtualHost>\n"),
    ("journal-of-nobody", "GreenJournal /dev/shm/j size=4M\n"),
    ("domain-on-one-door", joined("machine=a domain=rack1", "machine=a mttf=3d")),
    ("bmc-ca-file", "GreenBmcCA page.html\n"),
    ("bmc-ca-directory", "GreenBmcCA DIR\n"),
    ("members-fit", "GreenMembers 2\n" + balancer("BalancerMember http://10.0.0.2",
                                                  "GreenBalance on")),
    ("members-elsewhere", "GreenMembers 1\n" + balancer("GreenBalance on") +
     '<Proxy "balancer://other">\nBalancerMember http://10.0.0.2\n'
     "BalancerMember http://10.0.0.3\n</Proxy>\n"),
    ("same-hint-in-other-words", joined(
        "machine=a mac=52:54:00:AB:cd:01 watts=60:180 boot=2m ipmi=[2001:DB8::1]",
        "machine=a mac=52-54-00-ab-CD-01 watts=60.0:180 boot=120s ipmi=[2001:db8:0::1]:623")),
    ("keys-on-one-door", joined("machine=a wake=wol", "machine=a sleep=pdu mac=" + MAC1)),
    ("chain", joined("machine=a wake=ipmi", "machine=a mac=" + MAC1) +
     "BalancerMember balancer://b http://10.0.0.3 mac=%s ipmi=10.0.1.1\n" % MAC1),
    ("capacities-differ", joined("machine=a capacity=3", "machine=a capacity=4")),
    ("driver-defined-below", member("wake=pdu sleep=pdu") + "GreenPowerDriver pdu /bin/true\n"),
    ("driver-below-server-root", "GreenPowerDriver pdu driver a b\n"),
    ("tmpfs-while-off", "GreenStateDir /dev/shm\n" + balancer("GreenBalance off")),
    ("host-sets-inherited", balancer("BalancerMember http://10.0.0.2", "GreenAwake min=2") +
     '<VirtualHost *:1>\n<Proxy "Balancer://APP/">\nGreenBalance on\n</Proxy>\n'
     "</VirtualHost>\n"),
    ("settings-above-members-below",
     '<Proxy "balancer://app">\nGreenBalance on\n</Proxy>\n<VirtualHost *:1>\n' +
     member("capacity=4") + "</VirtualHost>\n"),
    ("keys-in-any-case", member("WAKE=WOL Mac=%s" % MAC1)),
]


def ids(table):
    return [row[0] for row in table]


def marked(text):
    """The text without its mark, and the index of the marked line."""
    lines = text.split("\n")
    at = [i for i, line in enumerate(lines) if line.startswith("@")]
    assert len(at) == 1, "mark one line"
    lines[at[0]] = lines[at[0]][1:]
    return "\n".join(lines), at[0]


@pytest.mark.parametrize("name,text,message", SYNTAX, ids=ids(SYNTAX))
def test_a_wrong_value_stops_with_its_line(config, name, text, message):
    text, at = marked(text)
    status, output, first = config.test(text)
    assert status != 0
    assert message in output
    assert "Syntax error on line %d of %s:" % (first + at, config.path("httpd.conf")) in output


def assert_found(config, text, message, **more):
    text, at = marked(text)
    status, output, first = config.test(text, **more)
    wanted = "(line %d of %s)" % (first + at, config.path("httpd.conf"))
    assert status != 0, output
    lines = [x for x in output.splitlines() if message.replace("DIR", config.dir) in x]
    assert lines, output
    assert wanted in lines[0]
    assert re.search(r"\[greenbalance:emerg\].* GB01\d\d: ", lines[0])


@pytest.mark.parametrize("name,text,message", CHECKS, ids=ids(CHECKS))
def test_what_does_not_fit_together_is_found_by_configtest(config, name, text, message):
    assert_found(config, text, message)


@pytest.mark.parametrize("name,first,second,message", CONTRADICTIONS,
                         ids=ids(CONTRADICTIONS))
def test_members_of_one_machine_must_not_contradict(config, name, first, second, message):
    assert_found(config, joined(first, second),
                 "members http://10.0.0.1 of balancer://a and http://10.0.0.2 of "
                 "balancer://b are one machine, but differ in " + message)


def used(text):
    """With something that sends requests to each balancer."""
    names = sorted(set(re.findall(r"balancer://(\w+)", text)))
    return text + "".join('<Location "/%s">\nSetHandler "proxy:balancer://%s/"\n</Location>\n'
                          % (name, name) for name in names)


@pytest.mark.parametrize("name,text", GOOD, ids=ids(GOOD))
def test_a_good_configuration_passes(config, name, text):
    status, output, _ = config.test(used(text.replace("@", "")))
    assert status == 0 and output == "Syntax OK\n"


WARNINGS = [
    ("redfish-in-the-clear", SECRETS + member("wake=redfish redfish=http://10.0.1.1:80/"),
     "GB0132: BalancerMember http://10.0.0.1: redfish=http://10.0.1.1: passwords go in the "
     "clear by http, here and in 0 more machines"),
    ("hold-shorter-than-boot", "GreenPowerDriver pdu /bin/true\n" + balancer(
        "BalancerMember http://10.0.0.2 wake=pdu boot=3m", "@GreenHold timeout=2m",
        "BalancerMember http://10.0.0.3 wake=pdu boot=3m"),
     "GB0133: balancer://app: GreenHold timeout=2m is shorter than boot=180000ms of "
     "BalancerMember http://10.0.0.2"),
    ("sessions-that-may-not-move", "GreenPowerDriver pdu /bin/true\n" + balancer(
        "BalancerMember http://10.0.0.2 sleep=pdu wake=pdu route=a", "@GreenBalance on",
        "ProxySet stickysession=S nofailover=On"),
     "GB0134: balancer://app: with nofailover=On"),
    ("floor-above-all", balancer("BalancerMember http://10.0.0.2",
                                 'GreenSchedule "* 00:00-12:00" min=2',
                                 '@GreenSchedule "* 12:00-24:00" min=3'),
     "GB0135: balancer://app: GreenSchedule min=3 is more than the 2 members that there "
     "are"),
    ("quorum-of-all-and-sleep", "GreenPowerDriver pdu /bin/true\n" + replicas(
        "@GreenCommit quorum=all", members=["http://10.0.0.1 wake=pdu sleep=pdu",
                                            "http://10.0.0.2"]),
     "GB0142: balancer://app: GreenCommit quorum=all asks for every server, so that none "
     "of them will ever sleep"),
    ("key-beside-the-journal", replicas(
        "GreenCommit quorum=1", journal="@GreenJournal j key=near.key\n"),
     "GB0151: GreenJournal key=DIR/near.key: it lies on the same file system as the "
     "journal, DIR/state/j: "),
    ("least-above-all", balancer("BalancerMember http://10.0.0.2", "@GreenAwake min=3 spare=1"),
     "GB0136: balancer://app: GreenAwake min=3 is more than the 2 members that there are"),
    ("highest-least", balancer("@GreenAwake min=4096"), "min=4096 is more than the 1 members"),
    ("unused", balancer("@GreenBalance observe", "ProxySet lbmethod=bypower") +
     'ProxyPass "/x/" "balancer://app2/"\nProxyPassReverse "/" "balancer://app/"\n' +
     balancer(name="app2"),
     "GB0137: balancer://app: GreenBalance manages it, and nothing in this configuration "
     "sends it requests: a ProxyPass to balancer://app/ is missing"),
]

USES = ['ProxyPass "/" "balancer://app/"', 'ProxyPass "/" "balancer://APP"',
        '<Location "/">\nProxyPass balancer://app/ nofailover=On\n</Location>',
        'ProxyPassMatch "^/(.*)" "balancer://app/$1"',
        '<VirtualHost *:1>\nServerName a\n<If "true">\nSetHandler "proxy:balancer://app/"\n'
        '</If>\n</VirtualHost>',
        'RewriteEngine on\nRewriteRule "^/(.*)" "balancer://app/$1" [P]',
        'RewriteEngine on\nRewriteRule "^/(\\w+)" "balancer://%{ENV:GROUP}/$1" [P]',
        'RewriteEngine on\nRewriteMap to txt:page.html\nRewriteRule "^/(.*)" "${to:$1}" [P]']


@pytest.mark.parametrize("use", USES)
def test_a_balancer_that_is_used_is_not_warned_of(config, use):
    text = balancer("GreenBalance observe", "ProxySet lbmethod=bypower")
    status, output, _ = config.test(text + use + "\n", loaded=LOADED + ["rewrite"])
    assert status == 0 and output == "Syntax OK\n"


@pytest.mark.parametrize("name,text,message", WARNINGS, ids=ids(WARNINGS))
def test_what_is_unwise_is_told_once_and_passes(config, name, text, message):
    text, at = marked(text)
    status, output, first = config.test(text if name == "unused" else used(text))
    assert status == 0
    lines = output.splitlines()
    assert len(lines) == 2 and lines[1] == "Syntax OK", output
    assert "[greenbalance:warn]" in lines[0]
    assert message.replace("DIR", config.dir) in lines[0]
    assert "(line %d of %s)" % (first + at, config.path("httpd.conf")) in lines[0]


def test_a_journal_that_no_balancer_uses_is_told(config):
    status, output, _ = config.test("GreenJournal left.db key=KEY\n")
    assert status == 0 and output == "Syntax OK\n"
    os.makedirs(config.path("state"), exist_ok=True)
    config.file("state/left.db", "x")
    status, output, _ = config.test("GreenJournal left.db key=KEY\n")
    assert status == 0
    assert "GB0160: GreenJournal " in output and "put GreenCommit back" in output


def test_mod_lbmethod_byrequests_is_asked_for(config):
    """A balancer that is first named by a ProxyPass of a virtual host has it at first."""
    loaded = [name for name in LOADED if name != "lbmethod_byrequests"]
    text = balancer("ProxySet lbmethod=bypower")
    status, output, _ = config.test(text, loaded=loaded)
    assert status == 0, output
    vhost = ('<VirtualHost *>\nServerName a\nProxyPass "/" "balancer://app/"\n'
             '</VirtualHost>\n')
    status, output, _ = config.test(text + vhost, loaded=loaded)
    assert status != 0
    assert output.count("GB0128: mod_lbmethod_byrequests is not loaded: ") == 1


@as_root
def test_the_keeper_must_be_able_to_read_the_certificates(config):
    os.chmod(config.path("page.html"), 0o640)
    assert_found(config, "@GreenBmcCA page.html\n",
                 "the keeper, who runs as daemon, cannot read it: chmod o+r")


def test_all_errors_are_told_at_once(config):
    status, output, _ = config.test(
        balancer("BalancerMember http://10.0.0.2 wake=wol", "BalancerMember http://10.0.0.3 "
                 "wake=nobody", "GreenThreshold sleep=90%"))
    assert status != 0
    assert {n for n in re.findall(r"GB(\d{4}):", output)} == {"0102", "0103", "0107"}


def test_an_included_file_is_named(config):
    part = config.file("part.conf", "\n\n" + member("wake=wol").replace("@", ""))
    status, output, _ = config.test("Include part.conf\n")
    assert status != 0
    assert "(line 4 of %s)" % part in output


@pytest.mark.parametrize("text", [
    balancer("GreenBalance on"), member("capacity=3").replace("@", ""), "GreenMembers 64\n"],
    ids=["directive", "key", "main"])
def test_mod_proxy_balancer_is_asked_for(config, text):
    # lbmethod_byrequests does not need it, so that mod_proxy reads the balancer.
    loaded = [name for name in LOADED if name != "proxy_balancer"]
    status, output, _ = config.test(text, loaded=loaded)
    assert status != 0
    assert "GB0118: mod_proxy_balancer is not loaded: " in output


@pytest.mark.parametrize("hcheck", [False, True], ids=["without-hcheck", "with-hcheck"])
def test_keys_of_mod_proxy_hcheck_are_passed_on(config, hcheck):
    loaded = LOADED + (["proxy_hcheck"] if hcheck else [])
    status, output, _ = config.test(member("hcmethod=GET capacity=9").replace("@", ""),
                                    loaded=loaded)
    assert (status == 0) == hcheck
    assert hcheck or "unknown Worker parameter" in output


def test_the_journals_key_has_mode_0600(config):
    for mode in (0o644, 0o640, 0o400):
        os.chmod(config.key, mode)
        assert_found(config, replicas("GreenCommit quorum=1", journal="@" + JOURNAL),
                     "with mode %04o, and must belong to whoever starts httpd, uid %d, with "
                     "0600" % (mode, os.geteuid()))


@as_root
def test_the_journals_key_belongs_to_whoever_starts_httpd(config):
    os.chown(config.key, 1, -1)
    assert_found(config, replicas("GreenCommit quorum=1", journal="@" + JOURNAL),
                 "belongs to uid 1 with mode 0600, and must belong to whoever starts httpd")


def test_replicated_writes_go_with_prefork(config):
    status, output, _ = config.test(
        replicas("GreenCommit quorum=1") + USES[0] + "\n",
        loaded=[name.replace("mpm_event", "mpm_prefork") for name in LOADED])
    assert status == 0 and output == "Syntax OK\n"


def test_secrets_have_mode_0600(config):
    for mode in (0o644, 0o640, 0o400, 0o4600):
        os.chmod(config.path("secrets"), mode)
        assert_found(config, "@" + SECRETS, "secrets: has mode %04o, and must have 0600" % mode)


@as_root
def test_secrets_belong_to_whoever_starts_httpd(config):
    os.chown(config.path("secrets"), 1, -1)
    assert_found(config, "@" + SECRETS, "secrets: belongs to uid 1, and must belong to "
                                        "whoever starts httpd, uid 0")


def test_the_keepers_user_must_exist(config):
    assert_found(config, "@GreenKeeperUser no-such-user\n",
                 "GreenKeeperUser no-such-user: no such user", keeper=None)


@as_root
def test_with_secrets_the_keeper_must_not_be_httpds_user(config):
    assert_found(config, "@GreenKeeperUser www-data\n" + SECRETS,
                 "the keeper must not run as httpd's own User www-data", keeper=None)
    status, output, _ = config.test("GreenKeeperUser www-data\n", keeper=None)
    assert status == 0, "without secrets it may: " + output


@as_root
def test_with_secrets_a_user_of_its_own_is_needed(config):
    """The default is greenbalance where that user exists, else httpd's User."""
    try:
        pwd.getpwnam("greenbalance")
    except KeyError:
        assert_found(config, "@" + SECRETS, "create a user greenbalance, or name another",
                     keeper=None)
    else:
        status, output, _ = config.test(SECRETS, keeper=None)
        assert status == 0, output


def test_a_macro_counts_as_its_lines(config):
    status, output, _ = config.test(
        "<Macro Timing $t>\nGreenWake timeout=$t\n</Macro>\n" +
        balancer("Use Timing 3m", "Use Timing 0"), loaded=LOADED + ["macro"])
    assert status != 0
    assert "GreenWake timeout=0: must be a duration from 100ms to 1d" in output
    assert "line 1 of macro 'timing'" in output


def test_configtest_does_not_read_the_secrets(config):
    config.file("secrets", "\0garbage\xff", 0o600)
    status, output, _ = config.test(SECRETS)
    assert status == 0, output
