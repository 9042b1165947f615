//! The tables for Diesel: one schema, with only the types that both databases have.

diesel::table! {
    organizations (id) {
        id -> BigInt,
        name -> Text,
        created_at -> BigInt,
        uid -> Nullable<Text>,
        metadata -> Nullable<Text>,
        creation_key -> Nullable<Binary>,
        creation_request -> Nullable<Binary>,
        body -> SmallInt,
        header_style -> SmallInt,
        environment -> Text,
        rate_limit -> Nullable<Integer>,
        updated_at -> Nullable<BigInt>,
        tokens_valid_from -> Nullable<BigInt>,
        tokens_ending_before -> Nullable<BigInt>,
        tokens_end_at -> Nullable<BigInt>,
        svix_id -> Nullable<Text>,
    }
}

diesel::table! {
    deleted_organizations (id) {
        id -> BigInt,
        deleted_at -> BigInt,
    }
}

diesel::table! {
    counters (name) {
        name -> Text,
        value -> BigInt,
    }
}

diesel::table! {
    setting_changes (number) {
        number -> BigInt,
        organization_id -> BigInt,
        kind -> SmallInt,
        endpoint_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> BigInt,
        organization_id -> BigInt,
        name -> Text,
        role -> Text,
        hash -> Binary,
        prefix -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    master_key (id) {
        id -> SmallInt,
        key_id -> Text,
    }
}

diesel::table! {
    oldest_reader (id) {
        id -> SmallInt,
        migration -> Text,
    }
}

diesel::table! {
    dashboard_sessions (token_hash) {
        token_hash -> Binary,
        organization_id -> BigInt,
        key_hash -> Binary,
        expires_at -> BigInt,
        role -> Nullable<Text>,
        name -> Nullable<Text>,
        return_url -> Nullable<Text>,
    }
}

diesel::table! {
    sign_in_links (token_hash) {
        token_hash -> Binary,
        organization_id -> BigInt,
        role -> Text,
        name -> Nullable<Text>,
        return_url -> Nullable<Text>,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    endpoints (id) {
        id -> BigInt,
        organization_id -> BigInt,
        url -> Text,
        description -> Nullable<Text>,
        active -> Bool,
        disabled_reason -> Nullable<Text>,
        disabled_at -> Nullable<BigInt>,
        events -> Text,
        filters -> Nullable<Text>,
        timeout_ms -> Integer,
        retry -> Text,
        retry_on -> Text,
        headers -> Nullable<Binary>,
        rate_limit -> Nullable<Text>,
        max_in_flight -> Integer,
        ordered -> Bool,
        secret -> Binary,
        previous_secret -> Nullable<Binary>,
        previous_secret_expires_at -> Nullable<BigInt>,
        older_secrets -> Nullable<Binary>,
        created_at -> BigInt,
        updated_at -> BigInt,
        version -> BigInt,
        channels -> Nullable<Text>,
        uid -> Nullable<Text>,
        metadata -> Nullable<Text>,
        header_style -> SmallInt,
        deleted_at -> Nullable<BigInt>,
        svix_id -> Nullable<Text>,
        credentials -> Nullable<Binary>,
    }
}

diesel::table! {
    endpoint_health (endpoint_id) {
        endpoint_id -> BigInt,
        organization_id -> BigInt,
        failing_since -> Nullable<BigInt>,
        probe_at -> Nullable<BigInt>,
        pauses -> Integer,
        failing_notified -> Bool,
        streak_ends_at -> Nullable<BigInt>,
        accepted_secret -> Nullable<BigInt>,
    }
}

diesel::table! {
    events (id) {
        id -> BigInt,
        organization_id -> BigInt,
        event_type -> Text,
        occurred_at -> BigInt,
        accepted_at -> BigInt,
        last_delivery_id -> BigInt,
        delivery_count -> Integer,
        body -> Binary,
        trace -> Nullable<Text>,
    }
}

diesel::table! {
    audit_log (id) {
        id -> BigInt,
        organization_id -> BigInt,
        at -> BigInt,
        actor -> SmallInt,
        actor_key_id -> Nullable<BigInt>,
        actor_role -> Nullable<Text>,
        actor_name -> Nullable<Text>,
        action -> Text,
        subject -> Text,
        before -> Nullable<Text>,
        after -> Nullable<Text>,
    }
}

diesel::table! {
    event_labels (event_id, kind, place) {
        event_id -> BigInt,
        kind -> SmallInt,
        place -> SmallInt,
        organization_id -> BigInt,
        label -> Text,
    }
}

diesel::table! {
    deliveries (id) {
        id -> BigInt,
        organization_id -> BigInt,
        endpoint_id -> BigInt,
        event_id -> BigInt,
        partition -> SmallInt,
        status -> SmallInt,
        attempt_count -> Integer,
        created_at -> BigInt,
        queued_at -> BigInt,
        due_at -> BigInt,
        finished_at -> Nullable<BigInt>,
        response_code -> Nullable<Integer>,
        error -> Nullable<Text>,
        attempts_before_round -> Integer,
        replayed -> Bool,
        attempt_started_at -> Nullable<BigInt>,
        attempt_duration_ms -> Nullable<BigInt>,
        attempt_detail -> Nullable<Binary>,
    }
}

diesel::table! {
    attempts (delivery_id, number) {
        delivery_id -> BigInt,
        number -> Integer,
        organization_id -> BigInt,
        started_at -> BigInt,
        duration_ms -> BigInt,
        response_code -> Nullable<Integer>,
        error -> Nullable<Text>,
        detail -> Binary,
    }
}

diesel::table! {
    idempotency_keys (organization_id, key) {
        organization_id -> BigInt,
        key -> Text,
        request_hash -> Binary,
        event_id -> BigInt,
        created_at -> BigInt,
        event_type -> Nullable<Text>,
        occurred_at -> Nullable<BigInt>,
        delivery_count -> Nullable<Integer>,
    }
}

diesel::table! {
    id_leads (first_id) {
        first_id -> BigInt,
        until_id -> BigInt,
        begins_at -> BigInt,
    }
}

diesel::table! {
    event_types (organization_id, name) {
        organization_id -> BigInt,
        name -> Text,
        description -> Text,
        schema -> Nullable<Text>,
        created_at -> BigInt,
        sample -> Nullable<Text>,
        state -> SmallInt,
    }
}

diesel::table! {
    svix_event_types (environment, name) {
        environment -> Text,
        name -> Text,
        description -> Text,
        archived -> Bool,
        deprecated -> Bool,
        schemas -> Nullable<Text>,
        feature_flags -> Nullable<Text>,
        group_name -> Nullable<Text>,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    svix_answers (key_hash) {
        key_hash -> Binary,
        created_at -> BigInt,
        status -> SmallInt,
        body -> Binary,
    }
}

diesel::table! {
    svix_tasks (id) {
        id -> BigInt,
        environment -> Text,
        organization_id -> BigInt,
        endpoint_id -> BigInt,
        kind -> SmallInt,
        status -> SmallInt,
        since -> BigInt,
        until -> BigInt,
        selection -> Nullable<Text>,
        place -> Nullable<BigInt>,
        sent -> BigInt,
        failure -> Nullable<Text>,
        version -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    delivery_statistics (period_start, organization_id, endpoint_id, node) {
        period_start -> BigInt,
        organization_id -> BigInt,
        endpoint_id -> BigInt,
        succeeded -> BigInt,
        failed -> BigInt,
        retried -> BigInt,
        latency -> Binary,
        node -> SmallInt,
    }
}

diesel::table! {
    svix_notices (id) {
        id -> BigInt,
        application_id -> BigInt,
        organization_id -> BigInt,
        cause -> Text,
        event_type -> Text,
        facts -> Text,
    }
}

diesel::table! {
    endpoint_failures (endpoint_id) {
        endpoint_id -> BigInt,
        organization_id -> BigInt,
        failed_at -> BigInt,
        delivery_id -> BigInt,
        response_code -> Nullable<Integer>,
        error -> Nullable<Text>,
        response_excerpt -> Nullable<Binary>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    organizations,
    api_keys,
    endpoints,
    endpoint_health,
    endpoint_failures,
    event_labels,
    events,
    deliveries,
    attempts,
    idempotency_keys,
    event_types,
);
