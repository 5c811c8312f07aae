//! Membership in the role's group.
