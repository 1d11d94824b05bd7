/* Named points at which a test build dies by SIGKILL: PROCSHARE_FAULT=<point>, or <point>:<n> for its n-th visit.
 * In any other build FAULT() is nothing. Every point is listed here once, with the step that it stands before. */
#ifndef PROCSHARE_FAULTS_H
#define PROCSHARE_FAULTS_H

#define FAULT_POINTS(X)                                                              \
    X(segment_made, "segment.made")             /* file exists, nothing in it */      \
    X(segment_reserved, "segment.reserved")     /* space taken, header not written */ \
    X(segment_filled, "segment.filled")         /* header written, no seat yet */     \
    X(segment_tracked, "segment.tracked")       /* tracker knows it, header does not say so */\
    X(segment_seated, "segment.seated")         /* seat taken, no name yet */         \
    X(segment_registered, "segment.registered") /* tracker knows it, no name yet */   \
    X(segment_linking, "segment.linking")       /* says that it has a name, has none */\
    X(segment_linked, "segment.linked")         /* name exists, creator not told */   \
    X(segment_opened, "segment.opened")         /* attacher opened it, no seat yet */ \
    X(segment_inspecting, "segment.inspecting") /* header read without attaching, seats not looked at */\
    X(segment_alone, "segment.alone")           /* attacher has all seats, none of its own */\
    X(segment_attached, "segment.attached")     /* seat taken, name not re-checked */ \
    X(segment_arriving, "segment.arriving")     /* attached, still counts as in flight */\
    X(segment_handing, "segment.handing")       /* in flight, still its maker's */  \
    X(segment_handed, "segment.handed")         /* belongs to all, tracker not told */\
    X(segment_leaving, "segment.leaving")       /* seat given up, not yet unlinked */ \
    X(segment_last_out, "segment.last_out")     /* all seats held, not yet unlinked */\
    X(segment_unlinking, "segment.unlinking")   /* name about to go */              \
    X(segment_unlinked, "segment.unlinked")     /* name gone, tracker not told */     \
    X(segment_untracked, "segment.untracked")   /* header says so, tracker not told */\
    X(segment_reaping, "segment.reaping")       /* all seats of the dead's held, what it keeps gone */\
    X(segment_reaped, "segment.reaped")         /* name gone, tracker not told */   \
    X(segment_reserving, "segment.reserving")   /* file about to grow */              \
    X(seat_locked, "seat.locked")               /* range locked, generation old */    \
    X(seat_raised, "seat.raised")               /* generation raised, pid old */      \
    X(seat_left, "seat.left")                   /* range free, what is read there not */\
    X(slab_taken, "slab.taken")                 /* slot chosen, not yet live */       \
    X(slab_emptied, "slab.emptied")             /* slot empty, not yet live */      \
    X(slab_live, "slab.live")                   /* slot live, handle not made */      \
    X(slab_freeing, "slab.freeing")             /* slot about to be dead */           \
    X(slab_freed, "slab.freed")                 /* slot dead, not on the free list */ \
    X(lock_acquired, "lock.acquired")           /* lock word is ours, nothing done */ \
    X(lock_waiting, "lock.waiting")             /* waiters bit set, not asleep */   \
    X(lock_taken_over, "lock.taken_over")       /* from a dead owner, not repaired */ \
    X(lock_recovered, "lock.recovered")         /* repaired after a dead owner */     \
    X(lock_releasing, "lock.releasing")         /* work done, lock still ours */      \
    X(lock_released, "lock.released")           /* free, waiters not woken */         \
    X(counter_saved, "counter.saved")           /* last commit saved, word open */    \
    X(counter_marked, "counter.marked")         /* word marked as locked */           \
    X(counter_committing, "counter.committing") /* before the one store */            \
    X(counter_committed, "counter.committed")   /* after it, lock still ours */       \
    X(counter_adding, "counter.adding")         /* nothing changed yet */           \
    X(counter_added, "counter.added")           /* word changed, waiters not woken */ \
    X(value_committing, "value.committing")     /* before the one store */            \
    X(value_committed, "value.committed")       /* after it, lock still ours */       \
    X(value_growing, "value.growing")           /* new buffer had, old one in place */\
    X(value_grown, "value.grown")               /* new buffer in place, old one lost */\
    X(value_writing, "value.writing")           /* record half written */             \
    X(value_written, "value.written")           /* record whole, not published */     \
    X(heap_extending, "heap.extending")         /* file grown, heap end old */        \
    X(heap_extended, "heap.extended")           /* heap end raised, extent named by nothing */\
    X(heap_backed, "heap.backed")               /* large extent has memory, named by nothing */\
    X(heap_popped, "heap.popped")               /* extent off the free list */        \
    X(heap_punched, "heap.punched")             /* large extent's memory gone, on no list */\
    X(heap_pushing, "heap.pushing")             /* extent linked, list head old */    \
    X(heap_pushed, "heap.pushed")               /* on the list, heap lock still ours */\
    X(array_marked, "array.marked")             /* sequence odd, nothing written */   \
    X(array_writing, "array.writing")           /* elements half written by set() */  \
    X(array_committing, "array.committing")     /* elements whole, sequence odd */    \
    X(array_committed, "array.committed")       /* sequence even, lock still ours */  \
    X(change_watching, "change.watching")       /* waiters bit set, not asleep */   \
    X(change_bumped, "change.bumped")           /* sequence bumped, nobody woken */   \
    X(container_placed, "container.placed")     /* file is long enough, no memory yet */\
    X(container_reserved, "container.reserved") /* memory had, not written down */    \
    X(container_index_backed, "container.index_backed") /* larger index has memory, named by nothing */\
    X(container_segment_placed, "container.segment_placed") /* written down, not counted */\
    X(container_spare_backed, "container.spare_backed") /* spare pages have memory, named by nothing */\
    X(container_extended, "container.extended") /* table has one more segment */      \
    X(container_arena_placed, "container.arena_placed") /* extent written down, not counted */\
    X(container_arena_begun, "container.arena_begun") /* nothing in it has memory, used not reset */\
    X(container_arena_added, "container.arena_added") /* arena has one more extent, counted */\
    X(container_writing, "container.writing")   /* record half written */             \
    X(container_appended, "container.appended") /* record whole, named by nothing */  \
    X(container_unappended, "container.unappended") /* record's place free, bytes not counted off */\
    X(container_switching, "container.switching") /* generation built, not current */ \
    X(container_switched, "container.switched") /* current, the old one's pages kept */\
    X(container_punching, "container.punching") /* pages of what is not named about to go */\
    X(container_punched, "container.punched")   /* they are gone */                 \
    X(container_committing, "container.committing") /* sequence odd, nothing changed */\
    X(container_committed, "container.committed") /* changed, sequence still odd */   \
    X(container_recovering, "container.recovering") /* redo done, counts not */       \
    X(container_recounted, "container.recounted") /* counts right, sequence odd */  \
    X(container_recovered, "container.recovered") /* sequence even, old pages kept */\
    X(reclaim_hidden, "reclaim.hidden")         /* no slot leads to dead pages, which are there */\
    X(reclaim_freed, "reclaim.freed")           /* a free record in the arena, its pages there */\
    X(reclaim_punched, "reclaim.punched")       /* dead pages gone */               \
    X(reclaim_trimming, "reclaim.trimming")     /* table has fewer segments, memory not written down */\
    X(reclaim_trimmed, "reclaim.trimmed")       /* written down, pages there */     \
    X(readers_backed, "readers.backed")         /* memory for its word had, not written down */\
    X(readers_joined, "readers.joined")         /* word there, an earlier occupant's */\
    X(map_entered, "map.entered")               /* entry written, not counted */      \
    X(map_counted, "map.counted")               /* entry counted, no slot */          \
    X(map_indexed, "map.indexed")               /* slot leads to it, no value */      \
    X(map_publishing, "map.publishing")         /* before the one store */            \
    X(map_published, "map.published")           /* after it, not counted */           \
    X(list_written, "list.written")             /* words behind the end written */    \
    X(list_publishing, "list.publishing")       /* before the store of the span */    \
    X(list_published, "list.published")         /* after it */                        \
    X(list_storing, "list.storing")             /* before the store of a word */      \
    X(list_stored, "list.stored")               /* after it */                        \
    X(redo_written, "redo.written")             /* record whole, not committed */     \
    X(redo_pending, "redo.pending")             /* committed, nothing applied */      \
    X(redo_applying, "redo.applying")           /* some words applied */              \
    X(redo_noting, "redo.noting")               /* container first in it known, not its number */\
    X(redo_applied, "redo.applied")             /* all applied, still pending */      \
    X(redo_settled, "redo.settled")             /* nothing pending */                 \
    X(transaction_written, "transaction.written") /* redo records whole, none pending */\
    X(transaction_prepared, "transaction.prepared") /* one more is prepared */        \
    X(transaction_committed, "transaction.committed") /* committed, none applied */   \
    X(transaction_settling, "transaction.settling") /* one more is settled */         \
    X(transaction_told, "transaction.told")     /* another one knows that it is committed */\
    X(transaction_decided, "transaction.decided") /* it was asked, and this one knows */\
    X(queue_putting, "queue.putting")           /* records written, not committed */  \
    X(queue_put, "queue.put")                   /* committed, nobody woken */         \
    X(queue_filling, "queue.filling")           /* large item's extent had, empty */  \
    X(queue_filled, "queue.filled")             /* filled, named by nothing */        \
    X(queue_growing, "queue.growing")           /* larger ring had, nothing in it */  \
    X(queue_moved, "queue.moved")               /* all copied there, not the ring */  \
    X(queue_grown, "queue.grown")               /* it is the ring, old one kept */    \
    X(queue_taking, "queue.taking")             /* books written, not committed */    \
    X(queue_taken, "queue.taken")               /* committed, rest not written */     \
    X(queue_applied, "queue.applied")           /* some of the rest written */        \
    X(queue_shut, "queue.shut")                 /* shut, nothing dropped or woken */  \
    X(lease_backed, "lease.backed")             /* leases have memory */            \
    X(lease_chosen, "lease.chosen")             /* free one found, nothing in it */ \
    X(lease_beginning, "lease.beginning")       /* item copied, not leased yet */     \
    X(lease_ending, "lease.ending")             /* before the commit of its end */    \
    X(lease_shrinking, "lease.shrinking")       /* extent no longer its own, not given back */\
    X(lease_returning, "lease.returning")       /* a dead one's found, still leased */\
    X(lease_returned, "lease.returned")         /* it is back, not taken yet */       \
    X(event_setting, "event.setting")           /* nothing changed yet */             \
    X(event_set, "event.set")                   /* set, nobody woken */               \
    X(event_clearing, "event.clearing")         /* still set */                     \
    X(event_cleared, "event.cleared")           /* not set any more */                \
    X(semaphore_acquiring, "semaphore.acquiring") /* nothing changed yet */         \
    X(semaphore_acquired, "semaphore.acquired") /* one permit less is free */       \
    X(semaphore_released, "semaphore.released") /* permits free, nobody woken */      \
    X(semaphore_taking, "semaphore.taking")     /* robust: nothing changed */         \
    X(semaphore_taken, "semaphore.taken")       /* ours, still counted as free */     \
    X(semaphore_copied, "semaphore.copied")     /* counted, lock still ours */        \
    X(semaphore_releasing, "semaphore.releasing")/* robust: nothing changed */         \
    X(semaphore_given, "semaphore.given")       /* not ours, not counted as free */   \
    X(semaphore_counting, "semaphore.counting") /* some of the dead's cleared */      \
    X(semaphore_counted, "semaphore.counted")   /* counted again, nobody woken */     \
    X(condition_entering, "condition.entering") /* ticket taken, entry not filled */  \
    X(parties_filled, "parties.filled")         /* entry filled, nobody's */        \
    X(condition_entered, "condition.entered")   /* entry is ours, lock too */         \
    X(condition_asleep, "condition.asleep")     /* lock released, not asleep yet */   \
    X(condition_woken, "condition.woken")       /* wait over, lock not had yet */     \
    X(condition_leaving, "condition.leaving")   /* lock had, entry still ours */      \
    X(condition_left, "condition.left")         /* entry free, lock still ours */     \
    X(condition_notifying, "condition.notifying")/* waiter chosen, not marked */       \
    X(condition_notified, "condition.notified") /* waiter marked, not woken */        \
    X(barrier_entering, "barrier.entering")     /* lock ours, nobody arrived */       \
    X(barrier_entered, "barrier.entered")       /* arrived, lock still ours */        \
    X(barrier_waiting, "barrier.waiting")       /* arrived, lock released */          \
    X(barrier_acting, "barrier.acting")         /* action about to run */             \
    X(barrier_acted, "barrier.acted")           /* action done, lock not ours */      \
    X(barrier_committing, "barrier.committing") /* phase not over yet */              \
    X(barrier_committed, "barrier.committed")   /* phase over, nobody marked */       \
    X(barrier_marking, "barrier.marking")       /* one more party marked */           \
    X(barrier_marked, "barrier.marked")         /* all marked, next phase not open */ \
    X(barrier_opened, "barrier.opened")         /* next phase open, nobody woken */   \
    X(barrier_breaking, "barrier.breaking")     /* broken, nobody marked */           \
    X(barrier_leaving, "barrier.leaving")       /* wait over, entry still ours */     \
    X(rwlock_wanting, "rwlock.wanting")         /* nothing changed yet */             \
    X(rwlock_wanted, "rwlock.wanted")           /* counted as wanting, no hint */     \
    X(rwlock_hinted, "rwlock.hinted")           /* hint set, lock not ours */         \
    X(rwlock_unwanted, "rwlock.unwanted")       /* counted as wanting no longer */  \
    X(rwlock_draining, "rwlock.draining")       /* lock ours, readers not gone */     \
    X(rwlock_clearing, "rwlock.clearing")       /* a dead reader found */             \
    X(rwlock_cleared, "rwlock.cleared")         /* it counts no longer */           \
    X(rwlock_writing, "rwlock.writing")         /* ours alone */                      \
    X(rwlock_unhinting, "rwlock.unhinting")     /* hint about to go */                \
    X(rwlock_unhinted, "rwlock.unhinted")       /* hint gone, nobody woken */         \
    X(rwlock_reading, "rwlock.reading")         /* nothing changed yet */             \
    X(rwlock_counted, "rwlock.counted")         /* counted as reading, hint unknown */\
    X(rwlock_ending, "rwlock.ending")           /* read, still counted */             \
    X(rwlock_ended, "rwlock.ended")             /* counted no longer, writer not woken */\
    X(links_claimed, "links.claimed")           /* claimed, record not published */   \
    X(links_claiming, "links.claiming")         /* nothing changed yet */           \
    X(links_marked, "links.marked")             /* claim says that it is about to be given up */\
    X(links_dropping, "links.dropping")         /* claim given up, not unlinked */

enum fault {
#define X(id, name) FAULT_##id,
    FAULT_POINTS(X)
#undef X
    FAULT_COUNT
};

#ifdef PROCSHARE_FAULTS
void fault_hit(enum fault point);
#define FAULT(id) fault_hit(FAULT_##id)
#else
#define FAULT(id) ((void)0)
#endif

#endif
