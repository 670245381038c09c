-- Rows to look at. Every provider's password is "demo".
INSERT INTO tenants (name) VALUES ('Demonstration Clinic');

INSERT INTO roles (name) VALUES ('physician'), ('nurse'), ('administrator');

INSERT INTO providers (tenant_id, role_id, name, email, password_hash)
SELECT t.id, r.id, 'The ' || r.name, r.name || '@example.org',
       'scrypt$1024$5d0c7e1b9a4f2c68$571aaeca3edc6932e7737eaa6216734941acfff6033c0ac48976c4aa8e4d5685'
FROM tenants t CROSS JOIN roles r
ORDER BY r.id;

INSERT INTO patients (tenant_id, provider_id, given_name, family_name, birth_date, welcomed_at)
SELECT p.tenant_id, p.id, 'Given' || n, 'Family' || n, date '1950-01-01' + n * 400, now()
FROM generate_series(1, 50) AS n JOIN providers p ON p.id = 1 + n % 3
ORDER BY n;
