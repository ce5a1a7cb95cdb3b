/**
 * Every error that onecert can report, in one place.
 *
 * `exit` is the process exit status (sysexits.h: 64 usage, 65 bad data, 69 service unavailable, 73 cannot create,
 * 74 I/O, 75 temporary, 77 permission, 78 configuration). `retryable` says whether the same call may succeed
 * later without anyone changing anything.
 */
interface CatalogueEntry {
  readonly exit: 64 | 65 | 69 | 70 | 73 | 74 | 75 | 77 | 78
  readonly retryable?: true
}

const usage = { exit: 64 } as const
const badData = { exit: 65 } as const
const unavailable = { exit: 69, retryable: true } as const
const temporary = { exit: 75, retryable: true } as const
const denied = { exit: 77 } as const
const configuration = { exit: 78 } as const

export const catalogue = {
  // Usage
  USAGE: usage,
  NEEDS_TTY: usage,
  INTERRUPTED: temporary,
  INTERNAL: { exit: 70 },

  // Input of any kind
  INPUT_NOT_FOUND: badData,
  INPUT_NOT_A_FILE: badData,
  INPUT_NOT_A_DIRECTORY: badData,
  INPUT_UNREADABLE: denied,
  INPUT_TOO_LARGE: badData,

  // PEM, DER, PKCS#12
  PEM_EMPTY: badData,
  PEM_WRONG_KIND: badData,
  PEM_IS_DER: badData,
  PEM_BAD_BASE64: badData,
  PEM_DAMAGED: badData,
  PEM_KEY_MISMATCH: badData,
  KEY_ENCRYPTED: badData,
  KEY_PASSPHRASE_WRONG: badData,
  KEY_TOO_WEAK: badData,
  KEY_UNSUPPORTED_BY_CA: badData,
  KEY_UNSUPPORTED: badData,
  P12_PASSWORD_WRONG: badData,
  P12_PASSWORD_NEEDED: badData,
  P12_NO_KEY: badData,
  P12_LEGACY: badData,
  P12_DAMAGED: badData,
  P12_IS_PEM: badData,

  // Certificates and chains
  CHAIN_ORDER: badData,
  CHAIN_INCOMPLETE: badData,
  CHAIN_BROKEN: badData,
  CHAIN_HAS_ROOT: badData,
  CERT_WEAK_SIGNATURE: badData,
  CERT_EXPIRED: badData,
  CERT_NOT_YET_VALID: badData,
  CERT_OLDER: badData,
  CERT_NOT_A_LEAF: badData,
  CERT_WRONG_USAGE: badData,
  CERT_NAME_MISSING: badData,

  // Host names
  NAME_INVALID: badData,
  NAME_HAS_SCHEME: badData,
  NAME_HAS_PORT: badData,
  NAME_BAD_WILDCARD: badData,
  NAME_NOT_PUBLIC: badData,
  NAME_MIXED_SCRIPT: badData,

  // Fleet file
  CONFIG_NOT_FOUND: configuration,
  CONFIG_EXISTS: { exit: 73 },
  CONFIG_SYNTAX: configuration,
  CONFIG_EMPTY: configuration,
  CONFIG_MULTI_DOC: configuration,
  CONFIG_BINARY: configuration,
  CONFIG_DUPLICATE_KEY: configuration,
  CONFIG_QUOTE_WILDCARD: configuration,
  CONFIG_MODE_NOT_STRING: configuration,
  CONFIG_TAG_FORBIDDEN: configuration,
  CONFIG_UNKNOWN_KEY: configuration,
  CONFIG_UNKNOWN_REFERENCE: configuration,
  CONFIG_BAD_DURATION: configuration,
  CONFIG_BAD_VALUE: configuration,
  CONFIG_INVALID: configuration,

  // Vault, store, ledger
  VAULT_MISSING: configuration,
  VAULT_IDENTITY_OPEN: denied,
  VAULT_IDENTITY_WRONG: denied,
  VAULT_PASSPHRASE_NEEDED: denied,
  VAULT_PASSPHRASE_WRONG: denied,
  VAULT_DAMAGED: { exit: 74 },
  VAULT_KEY_MISSING: badData,
  STATE_NOT_WRITABLE: { exit: 73 },
  STATE_DISK_FULL: { exit: 74 },
  STATE_BUSY: temporary,
  STATE_DAMAGED: { exit: 74 },
  STATE_TOO_NEW: configuration,
  LEASE_HELD: temporary,
  LEASE_LOST: temporary,
  LEDGER_BROKEN: { exit: 74 },

  // Issuing
  ISSUER_UNKNOWN: configuration,
  LICENCE_SEATS: configuration,

  // An ACME CA
  ACME_NOT_A_DIRECTORY: configuration,
  ACME_ADDRESS_REFUSED: denied,
  ACME_UNTRUSTED: denied,
  ACME_UNREACHABLE: unavailable,
  ACME_PROTOCOL: unavailable,
  ACME_UNDECIDED: temporary,
  ACME_RATE_LIMITED: temporary,
  ACME_ACCOUNT_UNKNOWN: denied,
  ACME_ACCOUNT_DEACTIVATED: denied,
  ACME_EAB_REQUIRED: configuration,
  ACME_TERMS: configuration,
  ACME_PROFILE_UNKNOWN: configuration,
  ACME_UNSUPPORTED_IDENTIFIER: badData,
  ACME_CAA: denied,
  ACME_DNSSEC: denied,
  ACME_NXDOMAIN: denied,
  ACME_CHALLENGE_FAILED: denied,
  ACME_REFUSED: denied,
  ACME_NO_CHALLENGE: configuration,
  ACME_BUDGET: temporary,
  ISSUE_LATER: temporary,

  // Answers to the challenges of a CA
  CHALLENGE_NO_SERVER: configuration,
  CHALLENGE_CANNOT_LISTEN: { exit: 73 },
  CHALLENGE_NOT_SERVED: temporary,

  // Certificates that another client keeps
  WATCH_NOTHING_FOUND: badData,
  WATCH_INCOMPLETE: temporary,
  IMPORT_NOTHING_FOUND: badData,
  IMPORT_UNREADABLE: badData,
  IMPORT_EXISTS: { exit: 73 },

  // The DNS: looking up, writing a challenge, CAA
  DNS_UNREACHABLE: unavailable,
  DNS_ANSWER_BAD: unavailable,
  DNS_ZONE_NOT_FOUND: configuration,
  DNS_CNAME_LOOP: configuration,
  DNS_REFUSED: denied,
  DNS_TSIG_BAD: denied,
  DNS_CREDENTIAL_BAD: configuration,
  DNS_CREDENTIAL_OPEN: denied,
  DNS_NOT_PROPAGATED: unavailable,
  DNS_RECORD_MISSING: configuration,
  DNS_ALIAS: configuration,
  DNS_LAST_ADDRESS: denied,
  DNS_STILL_SHOWN: temporary,
  DNS_PROVIDER_FAILED: unavailable,
  DNS_PROVIDER_BUSY: temporary,
  CAA_FORBIDS: configuration,

  // Reaching a server
  SSH_MISSING: configuration,
  SSH_HOST_KEY_UNKNOWN: denied,
  SSH_HOST_KEY_CHANGED: denied,
  SSH_AUTH_FAILED: denied,
  SSH_KEY_TOO_OPEN: denied,
  SSH_KEY_ENCRYPTED: denied,
  SSH_AGENT_MISSING: denied,
  SSH_REFUSED: unavailable,
  SSH_TIMEOUT: unavailable,
  SSH_NAME_NOT_FOUND: unavailable,
  SSH_NOT_SSH: unavailable,
  SSH_LOST: unavailable,
  SSH_FAILED: unavailable,
  SUDO_NEEDS_PASSWORD: denied,
  RECEIVER_OUTDATED: configuration,
  RECEIVER_SILENT: unavailable,
  RECEIVER_PROTOCOL: unavailable,
  SERVER_TOOL_MISSING: unavailable,
  SERVER_NOT_WRITABLE: denied,
  SERVER_PATH_UNSAFE: denied,
  SERVER_UNKNOWN: usage,
  SERVER_FENCED: temporary,
  SERVER_NEWER: badData,
  SERVER_BUSY: temporary,
  SERVER_EXISTS: { exit: 73 },
  SERVER_LAST: configuration,
  PURGE_LEFT: unavailable,

  // Rollout
  DISCOVER_NOTHING: badData,
  INCLUDE_FOREIGN: { exit: 73 },
  INCLUDE_INSTALLED: configuration,
  INCLUDE_NO_PLACE: configuration,
  INCLUDE_NOT_READ: configuration,
  INCLUDE_NOT_READY: configuration,
  SERVICE_ALREADY_BROKEN: unavailable,
  SERVICE_TEST_FAILED: unavailable,
  SERVICE_COMMAND_DENIED: denied,
  SERVICE_DIED: unavailable,
  CONFIG_TEST_TIMEOUT: unavailable,
  STAGE_DAMAGED: unavailable,
  SWAP_FAILED: unavailable,
  RELOAD_FAILED: unavailable,
  WATCHDOG_FIRED: temporary,
  VERIFY_OLD_CERTIFICATE: unavailable,
  VERIFY_WRONG_CERTIFICATE: unavailable,
  VERIFY_WRONG_CHAIN: unavailable,
  VERIFY_UNREACHABLE: unavailable,
  ROLLBACK_FAILED: unavailable,
  BALANCER_SILENT: unavailable,
  BALANCER_REFUSED: configuration,
  BALANCER_DRIFT: unavailable,
  ROLLOUT_PARTIAL: temporary,
  ROLLOUT_STOPPED: temporary,
  WINDOW_CLOSED: temporary,
  PROBE_NO_ADDRESS: unavailable,
  PROBE_REFUSED: unavailable,
  PROBE_TIMEOUT: unavailable,
  PROBE_NO_STARTTLS: unavailable,
  PROBE_NOT_TLS: unavailable,
  PROBE_UNPROVEN: unavailable,
  PROBE_FAILED: unavailable,
  PROBE_FORBIDDEN: denied,
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof catalogue
