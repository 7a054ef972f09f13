-- What a render of a stored scene and a stored character reads and writes, in one call from outside: the
-- measure of what the ingress does beside that.
CREATE FUNCTION bare_submit(wanted_key text, wanted_scene text, wanted_character text, wanted_job text)
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    who record;
    scene record;
    cast_as record;
    price bigint;
    unit text := wanted_job || ':segment:0';
    pinned text;
    taken_at timestamptz;
BEGIN
    SELECT a.id, k.id AS key_id INTO STRICT who
    FROM api_keys k JOIN accounts a ON a.id = k.account_id
    WHERE k.sha256 = wanted_key AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now());
    SELECT x.id AS asset_id, j.* INTO STRICT scene FROM assets x JOIN jobs j ON j.id = x.job_id
    WHERE x.id = wanted_scene AND x.account_id = who.id AND x.kind = 'scene' AND x.deleted_at IS NULL
        AND j.status = 'complete' FOR SHARE OF x;
    SELECT x.id AS asset_id, j.* INTO STRICT cast_as FROM assets x JOIN jobs j ON j.id = x.job_id
    WHERE x.id = wanted_character AND x.account_id = who.id AND x.kind = 'character' AND x.deleted_at IS NULL
        AND j.status = 'complete' FOR SHARE OF x;
    price := greatest(1, ceil(((scene.video->>'frames')::numeric - 1)
        / split_part((scene.video->>'rate') || '/1', '/', 1)::numeric
        * split_part((scene.video->>'rate') || '/1', '/', 2)::numeric));
    INSERT INTO jobs (id, account_id, status, kind, stages, mode, model, spec, plan, video, inputs, facts,
        notes, credits, queue_deadline)
    VALUES (wanted_job, who.id, 'queued', 'render', '["segment", "stitch"]', 'preprocessed', scene.model,
        scene.spec, scene.plan, scene.video, scene.inputs || cast_as.inputs, scene.facts, scene.notes, price,
        now() + interval '6 hours')
    RETURNING created_at INTO taken_at;
    SELECT pins INTO pinned FROM units WHERE job_id = scene.id LIMIT 1;
    INSERT INTO units (id, job_id, account_id, stage, index, queue, fast, pins, status, total, queued_at)
    VALUES (unit, wanted_job, who.id, 'segment', 0, 'v4', false, pinned, 'waiting',
        (scene.video->>'frames')::bigint, taken_at);
    INSERT INTO lines (queue, fast, account_id) VALUES ('v4', false, who.id)
    ON CONFLICT (queue, fast, account_id) DO UPDATE SET joined_at = now();
    INSERT INTO asset_uses (job_id, asset_id) VALUES (wanted_job, wanted_scene), (wanted_job, wanted_character);
    INSERT INTO artifacts (job_id, name, unit_id, attempt, key, size, sha256)
    SELECT wanted_job, name, unit_id, attempt, key, size, sha256 FROM artifacts
    WHERE (job_id = scene.id AND (name IN ('tracks', 'plate') OR starts_with(name, 'matte-')))
        OR (job_id = cast_as.id AND name = 'character');
    PERFORM pg_notify('farm_work', '');
    UPDATE accounts SET available = available - price, held = held + price WHERE id = who.id;
    INSERT INTO ledger_entries (account_id, job_id, kind, available_delta, held_delta)
    VALUES (who.id, wanted_job, 'hold', -price, price);
    RETURN taken_at;
END $$
