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
INSERT INTO entries VALUES(1,X'e0e61d6f7c35dede9bf72cd106fba15f','{"at_ms":1790000000000,"event":"server_started","actor":"","commercial_id":"","detail":"1.0.0"}',X'cb4c84509b828df878fd9457448159229deea64927c5d71d359146a2c312eb4e',X'b9879194018444728df2ab87f87ff6065c47fef7c3c9e729e2450e88af7ed2c4');
INSERT INTO entries VALUES(2,X'6d1fb996ac1e541273e08825ae7090e7','{"at_ms":1790000001000,"event":"broadcast_started","actor":"lea","commercial_id":"lea","detail":""}',X'c1a2a5ffd15714638e82695029cd4ff4e62b73cfc97cb9ae85afa8ddc2147c9a',X'5b49b7c9c4f0d17c40b297c0ba8599851ddf7ba25e6d606d28656f8f82bb2562');
INSERT INTO entries VALUES(3,X'31521043f7bd5720783464b0bb2cd998','{"at_ms":1790000002000,"event":"listen_asked","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"formation"}',X'6ea8009667850e3f24fcf6fb6b3811cfa56fab9ea67b58edca2e2966a1146f5b',X'1c3002c02b50b4d0cb789e6aabc33c0069ca6f2437c7bd76205a6e83f06a6414');
INSERT INTO entries VALUES(4,X'cc3d256095a10fe83c1cbd1e470534e2','{"at_ms":1790000002000,"event":"listen_announced","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"formation"}',X'e94e8368f4d51ba1c19980adfeaa9a960f92582a964e8345cf95529347d8bf65',X'603b9e12343b794a0e0a69fdcfb22d6072221da2bcc57e0c4e8f39c81740f940');
INSERT INTO entries VALUES(5,X'15344b4c2eb38c205938edbce586b7d2','{"at_ms":1790000002500,"event":"listen_started","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"formation","told":"seen"}',X'a4c7c3d6f339b0e5340d28510749859788161bcc65a88a3e85a2e74b7f50f948',X'ccb6696feb0f8380c8905134eb5885bbefdd25d4ea10662b79f4e34ed98fdf95');
INSERT INTO entries VALUES(6,X'0ca81f75148c84484b3b0c91d6de9ab9','{"at_ms":1790000004500,"event":"listen_ended","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"left","heard":true}',X'a9a3a2e05ea7e365ab25edc6f967dc260dede158df59d8656d3e4518a0bdfd77',X'32f587a39316d491192f487c1226a353d13ac480cbb2ee2bc5ee86affc7878b2');
INSERT INTO entries VALUES(7,X'1c4954a18009f6a0e6a28c57699f9375','{"at_ms":1790000009000,"event":"broadcast_stopped","actor":"lea","commercial_id":"lea","detail":"stopped"}',X'13608bacf0cd36000157528cd7c90212d71198720c783c2655a45baa553722b3',X'cc3aa92cc0bcbb84356dcf17ec9138a645f381171550600ef08d889b676700de');
INSERT INTO entries VALUES(8,X'8058b0dd3f540b11eef4f2c08c4f0760','{"at_ms":1790000009500,"event":"server_ended","actor":"","commercial_id":"","detail":""}',X'fd62484caafa936326965ed1b2745fb31070bdae243c0150445f740b35bbd123',X'9adf538c081cbb57a0600bb671472dd9bb98944009bf2cc7caf8df8d958f05cf');
CREATE TABLE notes (size INTEGER PRIMARY KEY, note TEXT NOT NULL, stays INTEGER NOT NULL) STRICT;
INSERT INTO notes VALUES(8,replace('ecoute-journal\n8\nmt9TjAgcu1egYAu2cUct2buYlEAJvyzHyvjfjZWPBc8=\n\n— ecoute-journal XvXCK3Z7QLqr9LcKfYZqhxlh0n8BWOcL2dWOSM39HGtz70vtCnS0vdNZV/vUUXtiShL1pG+f1ec7DHd0pYDqW9DAYw0=\n','\n',char(10)),1);
CREATE INDEX entries_by_time ON entries (at_ms);
CREATE INDEX entries_by_actor ON entries (actor, number);
CREATE INDEX entries_by_commercial ON entries (commercial_id, number);
COMMIT;
PRAGMA application_id = 1701015345;
PRAGMA user_version = 1;
