//! What the service does, believable or not, and what a scan makes of it.

mod faults; // every fault of the service
mod filters; // what a user asks the service for, beside the time
mod first_request; // what a new lake asks before it is made
mod flow; // the main job against a tenant that behaves
mod fuzz; // whatever comes in, nothing panics and nothing hangs
mod holes; // what the service does not give, and a service that is down
mod host; // a tenant's host changes
mod hostile; // what hostile texts do: in records, answers, stores and lakes
mod lossless; // whatever comes in can be given back
mod other_tenant; // a token or a host of another tenant
mod sign_in; // every way of signing in, and what becomes of tokens and secrets
mod spans; // thin neighbouring slices in one range
mod tenants; // what nobody knows for sure of the service, both ways
mod unproven; // time that was asked for when the service may have forgotten it
mod years; // what a scheduled scan costs in months
