//! Plain counters: one for each thing that is dropped, refused or cut, and a few for what goes well; and how the journal
//! is, as it was measured last.
//!
//! Never reset, never read by the server itself.

/// What the server counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that were neither STUN, DTLS nor RTP.
    pub datagrams_malformed: u64,
    /// Datagrams that were longer than any of ours; nothing of them was kept.
    pub datagrams_too_long: u64,
    /// DTLS and RTP from addresses that no session owns.
    pub datagrams_unknown_address: u64,
    /// STUN requests that name no session.
    pub stun_unknown_peer: u64,
    /// STUN that is no binding request, nor an answer of somebody who has a session.
    pub stun_ignored: u64,
    /// Answers of those who have one to what was not asked, or was answered before.
    pub stun_unasked: u64,
    /// Datagrams dropped because the queue of unconnected sessions was full.
    pub unconnected_queue_full: u64,
    /// Checks that were answered before, from another address.
    pub stun_replayed: u64,
    /// Checks that name a session and are not signed with its password.
    pub stun_unsigned: u64,
    /// Checks of clients that take themselves for the controlled side, which were told that they are not.
    pub stun_conflicts: u64,
    /// Checks from new addresses that were not answered, because the session had too many in its life.
    pub addresses_refused: u64,
    /// Addresses that were asked whether somebody on air has moved there.
    pub addresses_sought: u64,
    /// Addresses forgotten because their session had newer ones.
    pub addresses_forgotten: u64,
    /// Claims on an address that another connected session is using.
    pub address_conflicts: u64,
    /// Datagrams that did not leave, because nothing proved yet that their client is where they go to.
    pub datagrams_withheld: u64,
    /// RTP packets received from publishers.
    pub packets_received: u64,
    /// RTP that is nobody's audio: from a listener, of another format or section than what was negotiated, or of one stream
    /// more than the one that is heard.
    pub packets_foreign: u64,
    /// How often a publisher's stream came under another synchronization source than was said or heard before.
    pub streams_changed: u64,
    /// RTP packets of a publisher that sent too many.
    pub packets_over_rate: u64,
    /// RTP that came to nothing when it was decrypted: its tag was wrong, it was heard before, or it held no audio.
    pub packets_unsigned: u64,
    /// Reports on what a client was sent that are not the client's, or came again, or before anything could be sent.
    pub reports_unsigned: u64,
    /// DTLS and RTCP of connected sessions that was too much.
    pub control_over_rate: u64,
    /// RTP packets sent to listeners.
    pub packets_forwarded: u64,
    /// RTP packets not sent to a listener: far too late, from before its last switch, or with no way to it.
    pub packets_withheld: u64,
    /// Sessions ended because the WebRTC library panicked or failed on their input.
    pub peers_failed: u64,
    /// Sessions that never connected.
    pub peers_unfinished: u64,
    /// Offers refused because there were too many sessions, or their offers take too much.
    pub peers_refused: u64,
    /// Offers refused for what they said.
    pub offers_refused: u64,
    /// Offers refused because their user, or all together, made too many.
    pub offers_over_rate: u64,
    /// What users did too often that is written down, and was refused.
    pub acts_over_rate: u64,
    /// Refusals that were counted into another entry.
    pub refusals_counted: u64,
    /// Offers refused for their length.
    pub offers_too_long: u64,
    /// TCP clients refused because there were too many.
    pub conns_refused: u64,
    /// TCP clients refused because there were too many strangers at their address.
    pub conns_over_address: u64,
    /// Addresses and users whose past was forgotten because too many others have one.
    pub rows_forgotten: u64,
    /// WebSockets closed because their user had too many.
    pub conns_over_user: u64,
    /// TCP clients cut because they did not read.
    pub conns_too_slow: u64,
    /// TCP clients without a user that were cut because there was room for no other.
    pub conns_cut_for_newer: u64,
    /// TCP clients without a user that were cut because their address had too many, and newer ones.
    pub conns_cut_for_own: u64,
    /// TCP clients cut because all together had too much buffered.
    pub conns_cut_for_room: u64,
    /// TCP clients cut for their silence or half a request.
    pub conns_timed_out: u64,
    /// ICE-TCP conns cut for what they sent: no frames of ours, or no check of a session first.
    pub frames_malformed: u64,
    /// Datagrams for ICE-TCP conns dropped because they waited for too long.
    pub frames_late: u64,
    /// Datagrams for ICE-TCP conns dropped because too many waited.
    pub frames_excess: u64,
    /// ICE-TCP conns cut because they sent more than could be served.
    pub frames_unread: u64,
    /// Audio for ICE-TCP conns dropped because whoever it was for may not hear it any more.
    pub frames_withdrawn: u64,
    /// Datagrams for ICE-TCP conns that were gone, or closing.
    pub frames_undeliverable: u64,
    /// HTTP requests and WebSocket messages that could not be read.
    pub requests_malformed: u64,
    /// How often requests waited because their client had not read the answers before them.
    pub requests_held: u64,
    /// WebSocket conns closed for too many messages.
    pub conns_over_rate: u64,
    /// Requests of WHIP and WHEP refused because their user or their address made too many.
    pub requests_over_rate: u64,
    /// Requests of WHIP and WHEP refused for any other reason.
    pub requests_refused: u64,
    /// Wishes to listen that ended because they could not be written down.
    pub gates_refused: u64,
    /// Requests refused because too many files were being read.
    pub reads_refused: u64,
    /// Reports that were not made because there was more to count than may be.
    pub reports_refused: u64,
    /// Pages that were told nothing of the journal because too many waited for that.
    pub proofs_refused: u64,
    /// Pages that were told nothing of the journal because it could not be read.
    pub proofs_failed: u64,
    /// Notes of pages, signed here, that the journal does not contain.
    pub notes_doubted: u64,
    /// Notes of pages that another key signed.
    pub notes_of_other_key: u64,
    /// Notes of pages that were none, or forged.
    pub notes_unreadable: u64,
    /// Doubts that were not written down, because one of the same user was within the hour.
    pub doubts_over_rate: u64,
    /// Entries that are durable.
    pub entries_written: u64,
    /// Entries of other effects that could not be written down.
    pub entries_lost: u64,
    /// How many entries wait to be durable.
    pub entries_waiting: u64,
    /// How long the one among them has waited that waits for longest.
    pub journal_lag_ms: u64,
    /// How long an entry has waited at the most.
    pub journal_lag_worst_ms: u64,
    /// What the journal's files take.
    pub journal_bytes: u64,
    /// What its disk has room for, where that is known.
    pub journal_free_bytes: u64,
    /// How often the journal could not be written any more.
    pub journal_faults: u64,
    /// Tokens that did not verify.
    pub tokens_refused: u64,
    /// Of those, the ones of an address that sent too many.
    pub tokens_over_rate: u64,
    /// People whose name was forgotten for that of another one.
    pub people_forgotten: u64,
    /// Requests refused because a table was full: wishes, salespeople, conns or WHEP sessions of one person.
    pub tables_full: u64,
}
