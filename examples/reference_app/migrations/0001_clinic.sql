-- Tenants, and the people in them.
CREATE TABLE tenants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE roles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE providers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    role_id bigint NOT NULL REFERENCES roles,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL
);

CREATE TABLE patients (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    provider_id bigint NOT NULL REFERENCES providers,
    given_name text NOT NULL,
    family_name text NOT NULL,
    birth_date date NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    welcomed_at timestamptz
);
