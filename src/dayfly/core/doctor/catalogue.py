"""Every check of `dayfly doctor` by its code: how grave it is, what it means, what to do.

Rules: a code keeps its meaning for ever and is never used again; 40xx are files, 41xx the host, 42xx the CA, 43xx
clients and agents; docs/reference/doctor.md and `dayfly explain` are made from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How grave it is."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Page:
    """What `dayfly explain` says of a code."""

    code: str
    level: Level
    title: str
    means: str
    mend: str


_P, _W = Level.PROBLEM, Level.WARNING

PAGES = (
    Page("DF4001", _P, "Others may write in a directory of the home",
         "Whoever may write in a directory can replace every file in it, keys and ca.toml included.",
         "chmod go-w DIRECTORY; `dayfly doctor --fix` does it."),
    Page("DF4002", _P, "A file belongs to another user than the home",
         "The server runs as the home's owner and cannot read or replace what belongs to another user. It happens "
         "when a command is run as root in the home of another user.",
         "chown it to the owner of the home: chown --reference=HOME FILE."),
    Page("DF4003", _P, "A key file can be read by others",
         "A private key or password that the group or everybody can read is no secret on this host. The server "
         "refuses to start with it.",
         "chmod 600 FILE; `dayfly doctor --fix` does it. Where others have accounts on this host, take the key for "
         "known, and replace it."),
    Page("DF4004", _P, "The database can be read by others",
         "It holds accounts, names and the encrypted provisioner keys; its -wal and -shm files hold the same. The "
         "server refuses a database of another mode than 0600.",
         "chmod 600 FILE; `dayfly doctor --fix` does it."),
    Page("DF4005", _P, "ca.toml can be changed by others",
         "It names the keys, the database and where validation looks: whoever may write it commands the CA.",
         "chmod go-w ca.toml; `dayfly doctor --fix` does it."),
    Page("DF4006", _P, "A directory above the home can be changed by others",
         "Whoever may write in a directory above can rename the home and put another one in its place.",
         "chmod go-w DIRECTORY, or move the home below a directory that root alone may write, such as /var/lib."),
    Page("DF4007", _W, "The root's key is still on this machine",
         "The root signs intermediates once in years. While its key lies beside the server, who takes the server "
         "takes the root, and every client must be given a new one.",
         "Copy offline/root_ca_key to a medium that is kept apart, check the copy, and remove it here. `ca start` "
         "never reads it."),
    Page("DF4008", _W, "One password opens the root's key and the intermediate's",
         "The server needs the intermediate's password, so it is on this host; it should not open the root too.",
         "Move the root's key away, and give it a password of its own: openssl pkcs8 -topk8 -v2 aes-256-cbc; next "
         "time `ca init --root-password-file`."),
    Page("DF4009", _W, "A key of the CA is not encrypted",
         "A copy of the file, from a backup or a stolen disk, is the key. `ca init --no-password` makes it so.",
         "openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW, put NEW in its place with mode 0600, and start with "
         "--password-file. For the root's key this is a problem, not a warning."),
    Page("DF4010", _W, "The provisioner's password lies on the CA's host",
         "`ca init` made it and left it in secrets/ to be handed to those who ask for tokens. The server never needs "
         "it; here it only helps an intruder.",
         "Store it where those who need it look, then remove secrets/provisioner_password."),
    Page("DF4011", _P, "An unencrypted private key lies in the home",
         "Some file below the home, which is none of the CA's own keys, holds a private key in the clear: often a "
         "provisioner's key that was exported, or a copy made in a hurry.",
         "Remove it, or encrypt it and keep it elsewhere."),
    Page("DF4012", _P, "A key does not open, or is not that of its certificate",
         "The password that was given does not open the key, the file is damaged, or key and certificate are not a "
         "pair. The server does not start.",
         "Check --password-file; restore the file from the backup; after a change of the intermediate put both of "
         "its files in place."),
    Page("DF4013", _P, "A file that ca.toml names is missing",
         "The server does not start without it.",
         "Restore it from the backup, or correct the path in ca.toml."),
    Page("DF4014", _W, "Others may look into a directory of secrets",
         "The files inside have modes of their own, but their names, sizes and times are shown, and one wrong mode is "
         "enough.",
         "chmod 700 DIRECTORY; `dayfly doctor --fix` does it."),
    Page("DF4101", _W, "The clock is not synchronised",
         "Short certificates live and die by the clock: one that is behind issues certificates that end too early, "
         "one that is ahead issues some that are not valid yet.",
         "Run one time service: systemctl enable --now systemd-timesyncd, or chrony; in a container on its host."),
    Page("DF4102", _P, "The database's newest entry lies in the future",
         "The clock went back since it was written, or it was wrong then. Lifetimes, orders and claims are judged by "
         "a time that has been already.",
         "Put the clock right first; if it was wrong when entries were written, wait until their time has come "
         "before you issue."),
    Page("DF4103", _P, "The clock is before the CA's own certificates",
         "The root is not valid yet by this clock: the clock is wrong, and nothing that is issued now will be valid "
         "for anybody.",
         "Put the clock right."),
    Page("DF4104", _P, "The disk is nearly full",
         "Without room nothing can be committed, so nothing is issued; below 200 MiB the CA says that it is not "
         "ready. Below 1 GiB it is a warning.",
         "Make room on the file system of the home."),
    Page("DF4105", _P, "The file system has hardly an inode left",
         "No file can be made, whatever room there is: no checkpoint of the database, no new generation.",
         "Remove small files on the file system of the home."),
    Page("DF4106", _W, "Other services listen on this host",
         "A CA's host should serve nothing else: each service is another way in to the issuing key. Ssh, time and "
         "measuring services are passed over, and so is what listens on loopback alone.",
         "Move them to another host, or bind them to loopback."),
    Page("DF4107", _W, "The server may leave a core dump",
         "A dump holds the decrypted key.",
         "`ca start` forbids it by itself; in a unit: LimitCORE=0."),
    Page("DF4108", _W, "The server makes files that others can read",
         "Its umask is not 0077.",
         "`ca start` sets it by itself; in a unit: UMask=0077. Restart the server."),
    Page("DF4109", _P, "The database is on a file system that cannot keep it",
         "On network file systems locks and shared memory do not hold, and SQLite loses commits; a file system in "
         "memory is empty after the next start (a warning).",
         "Move the home to a local disk."),
    Page("DF4201", _P, "ca.toml cannot be used",
         "The server does not start; the text names the key and what was expected.",
         "Correct it: docs/reference/ca-toml.md has every key."),
    Page("DF4202", _P, "Another process has the CA's port",
         "The server cannot listen, or clients reach somebody else.",
         "Stop that process, or change `address` in ca.toml; the port is part of the CA's identity, so clients "
         "must learn a new one."),
    Page("DF4203", _P, "This user may not listen on a low port",
         "Ports below net.ipv4.ip_unprivileged_port_start want a capability.",
         "In a unit: AmbientCapabilities=CAP_NET_BIND_SERVICE; or use a port of 1024 or above."),
    Page("DF4204", _P, "Another process has the port of the metrics",
         "The server does not start while it is taken.",
         "Stop that process, or change metrics.address in ca.toml."),
    Page("DF4205", _W, "The metrics can be read from everywhere",
         "The metrics port has no authentication. It shows no names, but how much is issued and how the CA fares.",
         'Bind it to loopback or to a management network: metrics.address = "127.0.0.1:9180".'),
    Page("DF4206", _P, "The root expires",
         "When the root ends, every certificate ends with it, and every client needs a new root before. A warning "
         "from a year before; a problem in the last 90 days.",
         "Make a new root and hand it to all clients before this one ends."),
    Page("DF4207", _P, "The intermediate expires",
         "When it ends nothing can be issued, and nothing that was issued verifies. A warning from 30 days before; "
         "a problem in the last seven.",
         "Have a new intermediate signed by the root: dayfly ca init --csr-out in a new home shows how."),
    Page("DF4208", _P, "The intermediate ends before its leaves could",
         "Less than twice the longest lifetime that a provisioner gives is left: certificates are cut short or "
         "refused, and renewals bunch at the end.",
         "Have a new intermediate signed now, or shorten the lifetimes."),
    Page("DF4209", _P, "The chain does not lead to the root",
         "The intermediate in ca.toml is not signed by the root in ca.toml, or may not issue. No client accepts what "
         "it signs.",
         "Put the pair of files that belong together in place."),
    Page("DF4210", _W, "Validation runs with lab settings",
         "[validation] changes what a proof means: other ports, addresses of loopback, names that are looked up in a "
         "table. Right for a demo, wrong for a CA that others trust.",
         "Remove the key from [validation] in ca.toml."),
    Page("DF4211", _P, "The database has another schema",
         "A newer one was made by a newer Dayfly, and this one refuses it. An older one (a warning) is brought up to "
         "date by the next start, after which the older Dayfly cannot go back.",
         "Run the Dayfly that made it, or a newer one; back up before an upgrade."),
    Page("DF4212", _P, "The log does not verify",
         "Head, entries and signed checkpoints do not fit together: the database was changed by something else than "
         "the CA, or restored in part. Nothing is appended to such a log.",
         "dayfly ca log verify says where. Keep this database as evidence, and restore the newest backup whose log "
         "verifies."),
    Page("DF4213", _P, "The database cannot be read",
         "It is missing, damaged, or held by a lock that does not end.",
         "Read the text; restore the backup where the file is damaged."),
    Page("DF4214", _W, "No server runs in this home",
         "Nothing is issued and nothing is renewed.",
         "dayfly ca start, or systemctl start of its unit."),
    Page("DF4215", _P, "The server does not answer",
         "It runs, but its address does not answer /health with 200 under the home's own root.",
         "Read its log; look at its port and its certificate: dayfly certificate verify URL --roots ROOT."),
    Page("DF4216", _P, "The server is not ready",
         "It answers, and one of its own checks fails: db, signer, audit, tls or disk.",
         "The check names the place: the database, the issuing certificate, the log, the server's own certificate, "
         "or room on the disk."),
    Page("DF4217", _W, "The limits are switched off",
         "[limits] enabled = false is for benchmarks: one client can then take the CA from all others.",
         "Remove the key from ca.toml."),
    Page("DF4218", _W, "No name can be issued",
         "There is no name rule, and what no rule allows is refused.",
         "dayfly ca policy allow NAME, or ca init --allow-dns for a new CA."),
    Page("DF4219", _P, "A CRL is over, and none has taken its place",
         "Readers that insist on a CRL refuse every certificate that names it, good ones too. The running server makes "
         "each anew at two thirds of its time, so it does not run, cannot sign, or cannot write its database.",
         "dayfly ca crl lists them; the server's log says why none was made."),
    Page("DF4220", _P, "Certificates may live long, and there are no CRLs",
         "A provisioner gives more than 7 days, and ca.toml has no [crl]: such a certificate could not be called back, "
         "so each request for one is refused.",
         "Say where CRLs are served, [crl] address, and restart the CA; or shorten the provisioner's lifetimes."),
    Page("DF4221", _W, "Names are given without a proof",
         "A pre-authorized external account key vouches for its names: whoever has it, and asks from its networks, "
         "gets certificates for them. It is meant for clients that cannot answer a challenge, and never the default.",
         "dayfly ca eab list PROVISIONER --json shows its names and networks; keep both narrow, and take back what is "
         "not used any more: dayfly ca eab remove PROVISIONER KID."),
    Page("DF4222", _W, "ACME clients that cannot be expected to renew in time",
         "Most clients assume 90 days: they look once or twice a day, or renew 30 days before the end. What each calls "
         "itself is kept with its account. Where its ways do not fit the certificates that it has now, it is told of "
         "here, until its last renewals were all in time.",
         "Change what the finding says on the hosts of these accounts; dayfly ca account list --client NAME shows "
         "them. docs/reference/client-advice.md has all clients that are known."),
    Page("DF4223", _P, "Certificates of an earlier issuing key have no CRL",
         "CRLs are signed by the intermediate of today. A certificate above 7 days that an intermediate of another "
         "name or key signed names a list that is not its issuer's: readers that insist on a CRL refuse it, and the "
         "others hear of no revocation.",
         "Have them renewed: dayfly ca reissue --old-issuer --within 4h tells clients that ask (ARI), and dayfly ca "
         "list shows whose the rest are. Each is renewed for a list of today's issuer; what is left counts until it "
         "ends. Before the next change of the intermediate let long certificates end, or renew them, first."),
    Page("DF4301", _P, "The root certificate is missing, or not the one that was promised",
         "A client trusts this file alone, and knows its fingerprint from config/defaults.json.",
         "dayfly ca bootstrap --ca-url URL --fingerprint SHA256 --force."),
    Page("DF4302", _P, "The CA does not answer",
         "Nothing can be renewed from here: the network, its name, or the root that is trusted here is wrong, or the "
         "CA is down.",
         "dayfly ca health says what was met; on the CA's host run dayfly doctor."),
    Page("DF4303", _P, "agent.toml cannot be used",
         "The agent does not start; the text names the key and what was expected.",
         "Correct it: docs/reference/agent-toml.md has every key."),
    Page("DF4304", _W, "The agent is not running",
         "Its last word is older than a quarter of an hour, or there is none. Nothing is renewed on this host.",
         "Start it: dayfly agent run, or systemctl start of its unit."),
    Page("DF4305", _P, "A certificate is near its end, or there is none",
         "Less than a fifth of its life is left; it should have been renewed at half to two thirds.",
         "dayfly agent status shows the reason; dayfly agent run --once tries now."),
    Page("DF4306", _P, "A certificate needs a person",
         "It is stuck: the agent has stopped trying, because trying again cannot help. Where it is degraded (a "
         "warning) a valid certificate is in service and something else is wrong.",
         "dayfly agent status shows the reason and what to run."),
)  # fmt: skip

CATALOGUE: Mapping[str, Page] = {page.code: page for page in PAGES}
