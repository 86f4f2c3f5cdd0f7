BEGIN TRANSACTION;
CREATE TABLE mitoscan_jobs (
	id VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	client VARCHAR(128) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, 
	attempt INTEGER NOT NULL, 
	worker VARCHAR(128), 
	cancel_requested BOOLEAN NOT NULL, 
	cached BOOLEAN NOT NULL, 
	version INTEGER NOT NULL, 
	result_key VARCHAR(64) NOT NULL, 
	idempotency_key VARCHAR(255), 
	request TEXT NOT NULL, 
	tiles_done INTEGER NOT NULL, 
	tiles_total INTEGER NOT NULL, 
	mm2_done DOUBLE NOT NULL, 
	mm2_total DOUBLE NOT NULL, 
	reason VARCHAR(128), 
	problem TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (client, idempotency_key)
);
INSERT INTO "mitoscan_jobs" VALUES('waiting','QUEUED','local',1.0,NULL,NULL,0,NULL,0,0,0,'985212280e4a3ea20883a6a9af2820c8abe3a0ce5bf6cb4a51b92bd54b9db38d','k','{"slide": "uploads/waiting/slide.tif", "slide_sha256": "waiting", "slide_name": "slide.tif", "model": "tiny", "model_sha256": "b", "card_sha256": "", "threshold": null, "stride": null, "mpp": null, "exports": [], "options": {"priority": "normal", "timeout_s": null, "webhook": null}, "fetch": null}',0,0,0.0,0.0,NULL,NULL);
INSERT INTO "mitoscan_jobs" VALUES('fetching','QUEUED','local',2.0,NULL,NULL,0,NULL,0,0,0,'c6222f46ca306e636acde7ec12f92f262c4aef400cfd3ad7ab7c3c381d6b4069',NULL,'{"slide": "uploads/fetching/slide.tif", "slide_sha256": "fetching", "slide_name": "slide.tif", "model": "tiny", "model_sha256": "b", "card_sha256": "", "threshold": null, "stride": null, "mpp": null, "exports": [], "options": {"priority": "high", "timeout_s": 60.0, "webhook": "https://x.example/hook"}, "fetch": {"url": "s3://slides/a.tif", "bytes_done": 5, "bytes_total": 9, "is_done": false}}',0,0,0.0,0.0,NULL,NULL);
INSERT INTO "mitoscan_jobs" VALUES('failed','FAILED','local',3.0,NULL,4.0,0,NULL,0,0,1,'2a7e6aef326c7e762d8f68687539dab223e54a7554bafb1ea312234dcbe467ff',NULL,'{"slide": "uploads/failed/slide.tif", "slide_sha256": "failed", "slide_name": "slide.tif", "model": "tiny", "model_sha256": "b", "card_sha256": "", "threshold": null, "stride": null, "mpp": null, "exports": [], "options": {"priority": "normal", "timeout_s": null, "webhook": null}, "fetch": null}',0,0,0.0,0.0,'urn:mitoscan:x','{"type": "urn:mitoscan:x", "status": 422}');
INSERT INTO "mitoscan_jobs" VALUES('running','RUNNING','local',5.0,6.0,NULL,1,'w',0,0,2,'bdcef8762a9a36b9b5387cc709fa596559595a18719890b12dce6c325b720173',NULL,'{"slide": "uploads/running/slide.tif", "slide_sha256": "running", "slide_name": "slide.tif", "model": "tiny", "model_sha256": "b", "card_sha256": "", "threshold": null, "stride": null, "mpp": null, "exports": [], "options": {"priority": "normal", "timeout_s": null, "webhook": null}, "fetch": null}',1,2,0.25,0.5,NULL,NULL);
CREATE TABLE mitoscan_measures (
	name VARCHAR(64) NOT NULL, 
	label VARCHAR(160) NOT NULL, 
	value DOUBLE NOT NULL, 
	PRIMARY KEY (name, label)
);
INSERT INTO "mitoscan_measures" VALUES('gpu','w',1.0);
CREATE TABLE mitoscan_workers (
	id VARCHAR(128) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	device VARCHAR(64) NOT NULL, 
	started_at DOUBLE NOT NULL, 
	seen_at DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_mitoscan_jobs_created_at ON mitoscan_jobs (created_at);
CREATE INDEX ix_mitoscan_jobs_result_key ON mitoscan_jobs (result_key);
CREATE INDEX ix_mitoscan_jobs_state ON mitoscan_jobs (state);
COMMIT;
