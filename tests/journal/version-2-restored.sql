BEGIN TRANSACTION;
CREATE TABLE alive (row INTEGER PRIMARY KEY CHECK (row = 1), at_ms INTEGER NOT NULL) STRICT;
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
INSERT INTO "broadcasts" VALUES(2,'lea',0,1790000001000,1790000009000,'stopped',NULL,NULL,1);
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
INSERT INTO "entries" VALUES(1,X'E0E61D6F7C35DEDE9BF72CD106FBA15F','{"at_ms":1790000000000,"event":"server_started","actor":"","commercial_id":"","detail":"1.0.0"}',X'CB4C84509B828DF878FD9457448159229DEEA64927C5D71D359146A2C312EB4E',X'B9879194018444728DF2AB87F87FF6065C47FEF7C3C9E729E2450E88AF7ED2C4');
INSERT INTO "entries" VALUES(2,X'6D1FB996AC1E541273E08825AE7090E7','{"at_ms":1790000001000,"event":"broadcast_started","actor":"lea","commercial_id":"lea","detail":""}',X'C1A2A5FFD15714638E82695029CD4FF4E62B73CFC97CB9AE85AFA8DDC2147C9A',X'5B49B7C9C4F0D17C40B297C0BA8599851DDF7BA25E6D606D28656F8F82BB2562');
INSERT INTO "entries" VALUES(3,X'31521043F7BD5720783464B0BB2CD998','{"at_ms":1790000002000,"event":"listen_asked","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"formation"}',X'6EA8009667850E3F24FCF6FB6B3811CFA56FAB9EA67B58EDCA2E2966A1146F5B',X'1C3002C02B50B4D0CB789E6AABC33C0069CA6F2437C7BD76205A6E83F06A6414');
INSERT INTO "entries" VALUES(4,X'CC3D256095A10FE83C1CBD1E470534E2','{"at_ms":1790000002000,"event":"listen_announced","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"formation"}',X'E94E8368F4D51BA1C19980ADFEAA9A960F92582A964E8345CF95529347D8BF65',X'603B9E12343B794A0E0A69FDCFB22D6072221DA2BCC57E0C4E8F39C81740F940');
INSERT INTO "entries" VALUES(5,X'15344B4C2EB38C205938EDBCE586B7D2','{"at_ms":1790000002500,"event":"listen_started","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"formation","told":"seen"}',X'A4C7C3D6F339B0E5340D28510749859788161BCC65A88A3E85A2E74B7F50F948',X'CCB6696FEB0F8380C8905134EB5885BBEFDD25D4EA10662B79F4E34ED98FDF95');
INSERT INTO "entries" VALUES(6,X'0CA81F75148C84484B3B0C91D6DE9AB9','{"at_ms":1790000004500,"event":"listen_ended","actor":"paul","commercial_id":"lea","listening":"00000000000000ab","admin_name":"Paul D.","reason":"formation","detail":"left","heard":true}',X'A9A3A2E05EA7E365AB25EDC6F967DC260DEDE158DF59D8656D3E4518A0BDFD77',X'32F587A39316D491192F487C1226A353D13AC480CBB2EE2BC5EE86AFFC7878B2');
INSERT INTO "entries" VALUES(7,X'1C4954A18009F6A0E6A28C57699F9375','{"at_ms":1790000009000,"event":"broadcast_stopped","actor":"lea","commercial_id":"lea","detail":"stopped"}',X'13608BACF0CD36000157528CD7C90212D71198720C783C2655A45BAA553722B3',X'CC3AA92CC0BCBB84356DCF17EC9138A645F381171550600EF08D889B676700DE');
INSERT INTO "entries" VALUES(8,X'8058B0DD3F540B11EEF4F2C08C4F0760','{"at_ms":1790000009500,"event":"server_ended","actor":"","commercial_id":"","detail":""}',X'FD62484CAAFA936326965ED1B2745FB31070BDAE243C0150445F740B35BBD123',X'9ADF538C081CBB57A0600BB671472DD9BB98944009BF2CC7CAF8DF8D958F05CF');
INSERT INTO "entries" VALUES(9,X'D625BE0B89B91358C48479068E5F229E','{"at_ms":1796086789274,"event":"server_started","actor":"","commercial_id":"","detail":"0.1.0","options":"serve --data data --listen 127.0.0.1:18999"}',X'C8BBA8BAF54C68C66E1D18A3AC07CC1EEF8E960B3001C267CBE1BD4E6CD28E4C',X'108221F145D4991D8DF30580F134B816A9A92AA866B8F337F3156A60EEA2856F');
INSERT INTO "entries" VALUES(10,X'A6FACC8C95FD3F48683583A6CEB1505F','{"at_ms":1796086790202,"event":"server_ended","actor":"","commercial_id":"","detail":""}',X'6B139FC7712A5E78AD091AB12E2898792330B6A31503E0473934C753F94C00D7',X'0A35207FF2A0DF6919E79C36C07DD2A739D3C82E03AAD9E04E9F235543774E2C');
INSERT INTO "entries" VALUES(11,X'C337F88AF4DBE0FB7B14037B72B94207','{"at_ms":1796086790251,"event":"journal_backed_up","actor":"uid=0 user=root","commercial_id":"","detail":""}',X'86834A7164B78D75B0660D33AD5BC7D19AEBB9250CE5FBC16BD36F79B0A12C1F',X'33D944FB7A84E6C1550B9E4B7C4715A9E493CC761751A574AB992F62CFDB48FF');
INSERT INTO "entries" VALUES(12,X'1BA6FD997B557B609C50F8A65A6C777C','{"at_ms":1796086790402,"event":"journal_restored","actor":"uid=0 user=root","commercial_id":"","detail":"made_ms=1796086790251"}',X'2082A98F9950C1E1DEE8E6E91FA6A3CC05C602C40BE676EF6C1B202C42940F9E',X'B927B434182B149C05C69DDF572DD9E6686571541D3428F9AA1EB48C672EAFCD');
CREATE TABLE handed_in (
        number INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        deed TEXT NOT NULL,
        by TEXT NOT NULL,
        person TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
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
INSERT INTO "listenings" VALUES(3,'00000000000000ab','lea','paul','Paul D.','formation',0,1790000002000,1790000002500,1790000004500,2000,NULL,'seen','left',2);
CREATE TABLE notes (size INTEGER PRIMARY KEY, note TEXT NOT NULL, stays INTEGER NOT NULL) STRICT;
INSERT INTO "notes" VALUES(8,'ecoute-journal
8
mt9TjAgcu1egYAu2cUct2buYlEAJvyzHyvjfjZWPBc8=

— ecoute-journal XvXCK3Z7QLqr9LcKfYZqhxlh0n8BWOcL2dWOSM39HGtz70vtCnS0vdNZV/vUUXtiShL1pG+f1ec7DHd0pYDqW9DAYw0=
',1);
INSERT INTO "notes" VALUES(9,'ecoute-journal
9
EIIh8UXUmR2N8wWA8TS4FqmpKqhmuPM38xVqYO6ihW8=

— ecoute-journal XvXCK1t2ovkStS0wId2jcRaRqABZFDnTiyHRomXlu+xDcrI9OlrauSiu4cZlUatkxOBktveimfpBdOchyb5zWSzsxgA=
',1);
INSERT INTO "notes" VALUES(10,'ecoute-journal
10
CjUgf/Kg32kZ55w2wH3SpznTyC4DqtngTp8jVUN3Tiw=

— ecoute-journal XvXCK5eV+UPmohOCYIvBPjGNjYiMQV98XkxmUdR9+/+uX8F9PD5RrQxO/nDhXmYs6YGEUUEaR3xj+HGdmQ238nFCdQ0=
',1);
INSERT INTO "notes" VALUES(12,'ecoute-journal
12
uSe0NBgrFJwFxp3fVy3Z5mhlcVQdNCj5qh60jGcur80=

— ecoute-journal XvXCK+4uybOKAya2AyHqLKgceh23po0menDeCSACib35B8q6fdtSiUd5dfmLYo8qm6IBOMDkwvtoSpgMxkO/kwcVGgA=
',1);
CREATE TABLE people (
        id TEXT NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        seen_ms INTEGER NOT NULL,
        PRIMARY KEY (id, role)
    ) STRICT, WITHOUT ROWID;
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
PRAGMA application_id = 1701015345;
PRAGMA user_version = 2;
COMMIT;
