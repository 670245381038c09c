-- Jobs: the truth about the queue. Redis only says whose turn it is.
CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    worker text,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz
);

-- What the scheduler looks for: few rows, however many jobs are done.
CREATE INDEX jobs_open ON jobs (state, due_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE state IN ('done', 'failed');
