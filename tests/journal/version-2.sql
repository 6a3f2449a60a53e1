BEGIN TRANSACTION;
CREATE TABLE entries (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        salt BLOB,
        entry TEXT,
        leaf BLOB NOT NULL,
        chain BLOB NOT NULL,
        at_ms INTEGER AS (entry ->> 'at_ms') VIRTUAL,
        actor TEXT AS (entry ->> 'actor') VIRTUAL,
        commercial_id TEXT AS (entry ->> 'commercial_id') VIRTUAL
    ) STRICT;
INSERT INTO entries VALUES(1,NULL,NULL,X'c496a7e7ca70e1cd64129b2dae12eeb8bab1e03a8697b3f4cbfa32e6c58c84b4',X'268e0d8d4dcb453e4b28a1f5bba5f44a65b0b1b292e765deb2b786978b006415');
INSERT INTO entries VALUES(2,X'74fd974dcc945abcc8c69f3fa2e5a230','{"at_ms":1790000002000,"event":"registered","actor":"lea","commercial_id":"","detail":"commercial","name":"Léa","address":"192.0.2.1","browser":""}',X'260315452fbeb5c498271ba512ec19a23266cecae46fcc27609f6aad5f67e206',X'b667ce207cf0fa42c815ac938e9518b3d8c6ed68271a12d35f0c2fdf43064db1');
INSERT INTO entries VALUES(3,X'3d14464ffb5663a863bf4442c3eafd06','{"at_ms":1790000003000,"event":"broadcast_started","actor":"lea","commercial_id":"lea","detail":""}',X'c8bcd3d07b1140e63856f3806cbecc4f4a74d954a1b606156c494e9d17312cb0',X'2fac2fa0bc2dfed80db9e4706f9a6d467983acfbc9c5c36a49c73d541e63a9f4');
INSERT INTO entries VALUES(4,NULL,NULL,X'533b19f4c4451504304905b34886ac31d6315d3405fbd0e35c40f06ce940cf09',X'c3a63f2d8cfc35c263fddb94ac9200c913267cfbc91510c48457c485ff1add7d');
INSERT INTO entries VALUES(5,NULL,NULL,X'6e406e6763438dd56542efdd3d674509803b6fdca04979bb7a27298ed83842fe',X'2c537fa33b2aa144ba3a59b1f9d912ff3d7f787b1c86c22f2f1cabf07215061e');
INSERT INTO entries VALUES(6,NULL,NULL,X'047b335b0563ee4f70c637062d8182d263f47312cd4bef122fddc0f2dca43c4f',X'42d41ce35e70d4c722c3c0b264f970eb52b8bd64aba8965fe366104c50b5a686');
INSERT INTO entries VALUES(7,NULL,NULL,X'843f1068f73441ac2f829f04bdb413a5f5aa347eb82bb3e9c7da2a4a9ac9b4bd',X'bd4bf41536d376765d66790fb0a6f49a3689818bce7636f8816f459a8c53ce5c');
INSERT INTO entries VALUES(8,X'69060472643f858efc9d42c64e5ed249','{"at_ms":1790000008000,"event":"listen_asked","actor":"ana","commercial_id":"lea","listening":"0000000000000002","admin_name":"ana D.","reason":"formation","detail":"formation"}',X'd727689766beb8671a806411b5c225a6822501ef091b93018da5b38bbca89b25',X'15c6541d62b4ffd404fcfce232c02a9db9ab1b61fba0b3d9920113e63e50106a');
INSERT INTO entries VALUES(9,X'cdf90eb2dac237bd48ad4174b0d71cc2','{"at_ms":1790000009000,"event":"listen_announced","actor":"ana","commercial_id":"lea","listening":"0000000000000002","admin_name":"ana D.","reason":"formation","detail":"formation"}',X'43232ee5f42bed096871f14221d75b763b8f5b36b6e5571b65f160f3bf40b7bd',X'ba22fb4836c1babcada94e1d4f1ea9d57cba42f50af9c4042290266c32adaccc');
INSERT INTO entries VALUES(10,X'7908486820c3d6dbcf8c378aae36e0c0','{"at_ms":1790000010000,"event":"listen_started","actor":"ana","commercial_id":"lea","listening":"0000000000000002","admin_name":"ana D.","reason":"formation","detail":"formation","told":"seen"}',X'99a0b096daf773262283917f1cd91f08d7f33b43332ff898d696bea048119834',X'f1380a4f0b86f300ab0fdc5cbcaf979820bfee3318784600f3faa4bfae67132c');
INSERT INTO entries VALUES(11,X'c0c878abe704875347a44c4bb44d6e0a','{"at_ms":1790000011000,"event":"listen_ended","actor":"ana","commercial_id":"lea","listening":"0000000000000002","admin_name":"ana D.","reason":"formation","detail":"left","heard":true}',X'fdfbbae9470bf64f3cc0e59e85e624439d9e7fd021ee36cfcbc0ebda6ff167a6',X'f08f5b218549c2c01e31d7201c4391758ddc476e2ec041b71812f8684fb9e7cb');
INSERT INTO entries VALUES(12,X'0ef61cd51bb27dda6a340c7e4bdb35f1','{"at_ms":1790000012000,"event":"broadcast_stopped","actor":"lea","commercial_id":"lea","detail":"stopped","packets":500,"lost":2}',X'ee466d3b39d62fa8564de45d40fd74518600e20605fea4b985d82a2ce35ea229',X'2fcf4e3f7ae54c86fcea4ea270838c9d26d24eca0c3cf91d299bdb987cbe05b0');
INSERT INTO entries VALUES(13,X'b2aa813ad1f279076c178ce9cd0b3afb','{"at_ms":1790000020000,"event":"journal_purged","actor":"","commercial_id":"","detail":""}',X'e8ddcfa0c9fb231599b70fcae6c9e553a9fd2a54f70c94ec62e1969c5a00b384',X'653e3b869c89b8d4fdcf1f9ff463badfbab3e913cde549726aeb2477456e9d76');
INSERT INTO entries VALUES(14,X'670331f35f3349fe3cbf176a5c56bcbb','{"at_ms":1790000013000,"event":"server_ended","actor":"","commercial_id":"","detail":""}',X'8696c2a45dd5ed9dcb8805943d316fcd191d38630d41a3367def7c0baa36d7a3',X'592fe4859e0e9979135768fd80d4c7a637202c2fdfc5f38c25771f4a3746fc7d');
CREATE TABLE notes (size INTEGER PRIMARY KEY, note TEXT NOT NULL, stays INTEGER NOT NULL) STRICT;
INSERT INTO notes VALUES(14,replace('ecoute-journal\n14\nWS/khZ4OmXkTV2j9gNTHpjcgLC/fxfOMJXcfSjdG/H0=\n\n— ecoute-journal l15mczUgtA4jmpWZs0NJ+tsKDN/LlNqg8nwkF841XPHTf+kU+rJ9bDqCfPsBaLVotz12+TzjOb1RrHq32npnCZPkawI=\n','\n',char(10)),1);
CREATE TABLE broadcasts (
        number INTEGER PRIMARY KEY,
        commercial_id TEXT NOT NULL,
        device INTEGER NOT NULL,
        from_ms INTEGER NOT NULL,
        to_ms INTEGER,
        ended TEXT,
        packets INTEGER,
        lost INTEGER,
        listeners INTEGER NOT NULL DEFAULT 0
    ) STRICT;
INSERT INTO broadcasts VALUES(3,'lea',0,1790000003000,1790000012000,'stopped',500,2,2);
CREATE TABLE listenings (
        number INTEGER PRIMARY KEY,
        listening TEXT NOT NULL,
        commercial_id TEXT NOT NULL,
        admin_id TEXT NOT NULL,
        admin_name TEXT NOT NULL,
        reason TEXT NOT NULL,
        device INTEGER NOT NULL,
        asked_ms INTEGER NOT NULL,
        from_ms INTEGER,
        to_ms INTEGER,
        heard_ms INTEGER NOT NULL DEFAULT 0,
        sounds_since_ms INTEGER,
        told TEXT,
        ended TEXT,
        broadcast INTEGER
    ) STRICT;
INSERT INTO listenings VALUES(8,'0000000000000002','lea','ana','ana D.','formation',0,1790000008000,1790000010000,1790000011000,1000,NULL,'seen','left',3);
CREATE TABLE people (
        id TEXT NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        seen_ms INTEGER NOT NULL,
        PRIMARY KEY (id, role)
    ) STRICT, WITHOUT ROWID;
INSERT INTO people VALUES('lea','commercial','Léa',1790000012000);
CREATE TABLE handed_in (
        number INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        deed TEXT NOT NULL,
        by TEXT NOT NULL,
        person TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
INSERT INTO handed_in VALUES(1,1790000030000,'person_purged','uid=0 user=root','paul','he asked: entries=4 from_ms=1790000004000 to_ms=1790000007000');
CREATE TABLE alive (row INTEGER PRIMARY KEY CHECK (row = 1), at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX entries_by_time ON entries (at_ms);
CREATE INDEX entries_by_actor ON entries (actor, number);
CREATE INDEX entries_by_commercial ON entries (commercial_id, number);
CREATE INDEX broadcasts_open ON broadcasts (commercial_id) WHERE to_ms IS NULL;
CREATE INDEX listenings_open ON listenings (listening) WHERE to_ms IS NULL;
CREATE INDEX broadcasts_by_time ON broadcasts (from_ms, number);
CREATE INDEX broadcasts_by_commercial ON broadcasts (commercial_id, from_ms, number);
CREATE INDEX listenings_by_time ON listenings (asked_ms, number);
CREATE INDEX listenings_by_commercial ON listenings (commercial_id, asked_ms, number);
CREATE INDEX listenings_by_admin ON listenings (admin_id, asked_ms, number);
CREATE INDEX people_by_time ON people (role, seen_ms);
COMMIT;
PRAGMA application_id = 1701015345;
PRAGMA user_version = 2;
