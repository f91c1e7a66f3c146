/* SPDX-License-Identifier: Apache-2.0
 *
 * commit.pml - the protocol of replicated writes (docs/commit-design.md) for spin.
 *
 * Two clients, three replicas, three writes, one log.  Client 0 sends write 1 and, when
 * that was answered, write 2; client 1 sends write 3, which the application rejects
 * unless it has write 1: its verdict depends on the order.  Everybody may die between
 * any two steps, as often as FAULTS allows, and clients send again.
 *
 * Every step of a party is one indivisible statement over global state, so that crashes
 * fall between all of them.  Names: d... is durable (in the journal), v... is what the
 * journal thread knows, seg... is the shared segment, which outlives the keeper.  There
 * is no time: whatever takes long, or backs off, is a step that is not taken yet.
 *
 * docs/commit-model.md says what is modelled, what is not, and where it is in the code;
 * tests/model/run checks it all, and that each planted fault (-DBUG_...) is found.
 *
 *   -DLEVEL=0|1   the backend's level
 *   -DPUTS        at L0: writes 1 and 2 are PUT, 3 is POST
 *   -DANY_ORDER   a replica may take up requests in another order than they came in
 *   -DTRANSIENT   a fault may also be a 5xx that another replica would not have answered
 */
#ifndef LEVEL
#define LEVEL 1
#endif
#ifndef FAULTS
#define FAULTS 2 /* of any kind: keeper, replica, a replica too slow */
#endif

#define NEED 2 /* quorum */

#define OPEN 0
#define ACC  1
#define REJ  2

/* ---------------------------------------------------------------- the journal */

byte dlen;    /* entries whose intent is durable */
byte lid[4];  /* the write that is an entry: 1..vlen of them */
byte dv[4];   /* verdicts */
byte dcur[3]; /* cursors, as far as they must have been committed: see keeper_dies */
#if LEVEL == 0
byte dsent[3];
#endif
byte daside; /* bits: replicas */

/* ---------------------------------------------------------------- the keeper */

bool kup = true;
byte vlen;
byte vv[4];
byte vcur[3];
#if LEVEL == 0
byte vsent[3];
#endif
byte vaside;
byte fl[3]; /* in flight at a replica; 0: nothing */

#ifdef TRANSIENT
byte rolled; /* replica, + 1, that has rolled the open entry back */
#endif
byte opened; /* what dlen was when the keeper came */

byte segcur[3];
byte segreads; /* bits */

/* ---------------------------------------------------------------- the replicas */

byte down;     /* bits: dead, or asleep */
byte has[3];   /* bits: entries that took effect; durable */
#if LEVEL == 1
byte rec[3];   /* bits: keys that are on record, in one transaction with the effect */
#endif
byte redo;     /* bits: an earlier write was repeated over later ones, which follow */
byte q1[3];    /* requests that came in: the one whose answer is waited for, */
byte old[3];   /* and one whose connection is gone; it came before */

/* ---------------------------------------------------------------- the clients */

bool told; /* client 0 has an answer to write 1, be it 202 */

byte faults = FAULTS; /* that may still happen */

/* ---------------------------------------------------------------- words */

#define BIT(s)     (1 << ((s) - 1)) /* of an entry */
#define IS(set, r) (((set) >> (r)) & 1)
#define WITH(set, r)    ((set) | (1 << (r)))
#define WITHOUT(set, r) ((set) & (7 - (1 << (r))))

/* The entry of a write; 0: none. */
#define SEQ_OF(w) (lid[1] == (w) -> 1 : (lid[2] == (w) -> 2 : (lid[3] == (w) -> 3 : 0)))

#define DECIDED(s) (dv[s] != OPEN)
/* The latest entry such that it and all before it have a verdict. */
#define SETTLED (!DECIDED(1) -> 0 : (!DECIDED(2) -> 1 : (!DECIDED(3) -> 2 : 3)))
#define ACCEPTED                                                                       \
    ((dv[1] == ACC -> 1 : 0) + (dv[2] == ACC -> 2 : 0) + (dv[3] == ACC -> 4 : 0))

/* The application: write 3 needs write 1. */
#define ACCEPTS(s, m) (lid[s] != 3 || (SEQ_OF(1) != 0 && ((m) & BIT(SEQ_OF(1)))))

/* May it be sent again at its position without harm? */
#if LEVEL == 1
#define REPEATABLE(s) true
#else
#ifdef PUTS
#define REPEATABLE(s) (lid[s] != 3)
#else
#define REPEATABLE(s) false
#endif
#endif

/* ---------------------------------------------------------------- promises */

/* P1: what a client is told to be met, is. */
#ifdef BUG_ACK_FIRST
#define IS_STORED(s)  ((s) <= vlen)
#define IS_VERDICT(s) (vv[s] == ACC)
#else
#define IS_STORED(s)  ((s) <= dlen)
#define IS_VERDICT(s) (dv[s] == ACC)
#endif
#define COPY(r, s) (vcur[r] >= (s) && !IS(vaside, r) -> 1 : 0)
#define MET(s)                                                                         \
    (kup && IS_VERDICT(s) && COPY(0, s) + COPY(1, s) + COPY(2, s) >= NEED)
#define REAL(r, s) (has[r] & BIT(s) -> 1 : 0)
#define P1(s)                                                                          \
    (!MET(s) ||                                                                        \
     ((s) <= dlen && dv[s] == ACC && REAL(0, s) + REAL(1, s) + REAL(2, s) >= NEED))

/* P2: a replica holds a prefix of the log, and at most the one entry that has no
 * verdict yet; one that takes reads is not between a repeated write and what followed
 * it. */
#define PREFIX(m)                                                                      \
    ((m) == 0 || (m) == (ACCEPTED & 1) || (m) == (ACCEPTED & 3) || (m) == ACCEPTED ||  \
     (SETTLED < dlen && (m) == (ACCEPTED | BIT(SETTLED + 1))))
#define P2(r)                                                                          \
    ((IS(vaside | daside, r) || PREFIX(has[r])) && !(IS(segreads, r) && IS(redo, r)))

/* P4: write 2 was sent after the answer to write 1. */
#define P4 (SEQ_OF(2) == 0 || (SEQ_OF(1) != 0 && SEQ_OF(1) < SEQ_OF(2)))

/* P5: who may read at a replica with the token of entry t sees all up to it. */
#ifdef BUG_LAGGING_READ
#define MAY_READ(r, t) (IS(segreads, r) && !IS(down, r))
#else
#define MAY_READ(r, t) (IS(segreads, r) && !IS(down, r) && segcur[r] >= (t))
#endif
#define UPTO(t)    ((1 << (t)) - 1)
#define P5_OF(r, t)                                                                    \
    ((t) > SETTLED || !MAY_READ(r, t) ||                                               \
     (has[r] & ACCEPTED & UPTO(t)) == (ACCEPTED & UPTO(t)))
#define P5(r) (P5_OF(r, 1) && P5_OF(r, 2) && P5_OF(r, 3))

inline check()
{
    assert(P1(1) && P1(2) && P1(3));
    assert(P2(0) && P2(1) && P2(2));
    assert(P4);
    assert(P5(0) && P5(1) && P5(2))
}

/* ---------------------------------------------------------------- the journal thread */

/* What follows by itself: cursors move over entries that are nothing to a replica, and
 * the segment is told. */
/* At L0 a replica may have had everything up to the head before the keeper came, and
 * earlier writes may be repeated over it: it takes reads when it has them all again. */
#if LEVEL == 0 && !defined(BUG_EARLY_READS)
#define READS_FROM opened
#else
#define READS_FROM 0
#endif
#define IS_SKIPPED(r)                                                                  \
    (vcur[r] < SETTLED && dv[vcur[r] + 1] == REJ && fl[r] == 0 && !IS(vaside, r))
inline advance(r)
{
    do
    :: IS_SKIPPED(r) -> vcur[r]++
    :: else -> break
    od;
    segcur[r] = vcur[r];
    if
    :: IS(vaside, r) -> segreads = WITHOUT(segreads, r)
    :: !IS(vaside, r) && vcur[r] >= SETTLED && vcur[r] >= READS_FROM ->
        segreads = WITH(segreads, r)
    :: else
    fi
}

inline advance_all()
{
    advance(0);
    advance(1);
    advance(2)
}

/* A SUBMIT: the first of an id becomes an entry.  One that comes again finds it, and
 * nothing changes. */
inline submit(w)
{
    vlen++;
    lid[vlen] = w;
    assert(SEQ_OF(w) == vlen)
}

#define IS_DIRTY                                                                       \
    (vlen != dlen || vv[1] != dv[1] || vv[2] != dv[2] || vv[3] != dv[3] ||             \
     vaside != daside)

/* The cursor of who has answered is committed with the verdict. */
inline commit_cursor(r)
{
    if
    :: vcur[r] > 0 && dv[vcur[r]] != vv[vcur[r]] -> dcur[r] = vcur[r]
    :: else
    fi
#if LEVEL == 0
    ;
    dsent[r] = vsent[r]
#endif
}

inline commit_verdict(s)
{
    assert(dv[s] == OPEN || dv[s] == vv[s]); /* P6: one verdict */
    dv[s] = vv[s]
}

inline commit()
{
    commit_cursor(0);
    commit_cursor(1);
    commit_cursor(2);
    dlen = vlen;
    commit_verdict(1);
    commit_verdict(2);
    commit_verdict(3);
    daside = vaside;
    advance_all();
    check()
}

/* An entry may be sent to a replica: as the answerer, when nobody else answers it, or
 * as a follower. */
#ifdef BUG_EARLY_SEND
#define IS_INTENT(s) ((s) <= vlen)
#else
#define IS_INTENT(s) ((s) <= dlen)
#endif
#define IS_FREE(r)                                                                     \
    (kup && !IS(down, r) && !IS(vaside, r) && vaside == daside && fl[r] == 0)
#define ANSWERS(s)                                                                     \
    (IS_INTENT(s) && (s) == SETTLED + 1 && vv[s] == OPEN && fl[0] != (s) &&            \
     fl[1] != (s) && fl[2] != (s))
#define IS_NEXT(r) (vcur[r] < 3 && (ANSWERS(vcur[r] + 1) || dv[vcur[r] + 1] == ACC))
#if LEVEL == 0 && !defined(BUG_NO_MARK)
#define IS_MARKED(r) (REPEATABLE(vcur[r] + 1) || dsent[r] == vcur[r] + 1)
#else
#define IS_MARKED(r) true
#endif

inline send(r, s)
{
    fl[r] = s;
    q1[r] = s;
#ifdef BUG_CURSOR_FIRST
    vcur[r] = s;
    advance(r)
#endif
}

inline answered(r, verdict)
{
    if
    :: vv[fl[r]] == OPEN -> vv[fl[r]] = verdict
    :: vv[fl[r]] != OPEN && vv[fl[r]] != verdict -> vaside = WITH(vaside, r)
    :: else
    fi;
    if
    :: !IS(vaside, r) && vcur[r] < fl[r] -> vcur[r] = fl[r]
    :: else
    fi;
    fl[r] = 0;
    advance(r)
}

/* The answer does not come.  A reset is noticed at once: nothing could be sent to the
 * replica meanwhile. */
inline doubt(r)
{
    if
#ifndef BUG_DOUBLE_SEND
    :: fl[r] != 0 && !REPEATABLE(fl[r]) -> vaside = WITH(vaside, r)
#endif
    :: else
    fi;
    fl[r] = 0;
    advance(r)
}

#ifdef TRANSIENT
/* A 5xx: the second of another replica is the verdict; a follower is asked again. */
inline rolls_back(r)
{
    if
    :: vv[fl[r]] == OPEN && (rolled == 0 || rolled == r + 1) -> rolled = r + 1
    :: vv[fl[r]] == OPEN && rolled != 0 && rolled != r + 1 ->
        vv[fl[r]] = REJ;
        vcur[r] = fl[r];
        rolled = 0
    :: else
    fi;
    fl[r] = 0;
    advance(r)
}
#endif

/* GreenResync: the source is given nothing meanwhile, and the verdicts of what it has
 * are durable; the command has ended whatever the target was doing. */
#define IS_SOURCE(q)                                                                   \
    (!IS(down, q) && !IS(vaside | daside, q) && fl[q] == 0 && old[q] == 0 &&           \
     vcur[q] <= SETTLED)
#define IS_BACK(r) (kup && IS(vaside & daside, r) && !IS(down, r) && fl[r] == 0)
inline resync(r, q)
{
    has[r] = has[q];
#if LEVEL == 1
    rec[r] = rec[q];
#else
    vsent[r] = 0;
    dsent[r] = 0;
#endif
    redo = (IS(redo, q) -> WITH(redo, r) : WITHOUT(redo, r));
#ifndef BUG_RESYNC_LIVE
    old[r] = 0;
#endif
    vcur[r] = vcur[q];
    dcur[r] = vcur[q];
    vaside = WITHOUT(vaside, r);
    daside = WITHOUT(daside, r);
    advance(r);
    check()
}

active proctype journal()
{
end:
    do
    :: d_step { kup && SEQ_OF(1) == 0 && !told -> submit(1) }
    :: d_step { kup && SEQ_OF(2) == 0 && told -> submit(2) }
    :: d_step { kup && SEQ_OF(3) == 0 -> submit(3) }
#ifdef BUG_NO_KEY
    :: d_step { kup && SEQ_OF(3) != 0 && vlen < 3 -> submit(3) }
#endif
    :: d_step { kup && IS_DIRTY -> commit() }
    :: d_step { kup && !told && SEQ_OF(1) != 0 && IS_STORED(SEQ_OF(1)) -> told = true }
    od
}

/* ---------------------------------------------------------------- the replicas */

/* The effect and the record of the key are one transaction. */
inline take_effect(r, s, verdict)
{
    verdict = (ACCEPTS(s, has[r]) -> ACC : REJ);
#if LEVEL == 1
    if
    :: rec[r] & BIT(s) -> verdict = (has[r] & BIT(s) -> ACC : REJ)
#ifndef BUG_NO_FENCE
    :: !(rec[r] & BIT(s)) && (rec[r] >> (s)) != 0 ->
        assert(fl[r] != (s)) /* later ones are on record: nobody waits for this one */
#endif
    :: else -> rec[r] = rec[r] | BIT(s);
#else
    if
    :: true;
#endif
        if
        :: verdict == ACC ->
            assert(!(has[r] & BIT(s)) || (LEVEL == 0 && REPEATABLE(s))); /* P3 */
            has[r] = has[r] | BIT(s);
            redo = (has[r] >> (s) -> WITH(redo, r) : WITHOUT(redo, r))
        :: else
        fi
    fi
}

/* With its connection in the keeper, so to speak; the request is on its way while it
 * stands in q1. */
proctype replica(byte r)
{
    byte verdict;

end:
    do
#if LEVEL == 0
    :: d_step { IS_FREE(r) && IS_NEXT(r) && !IS_MARKED(r) ->
                vsent[r] = vcur[r] + 1; commit() }
#endif
    :: d_step { IS_FREE(r) && IS_NEXT(r) && IS_MARKED(r) -> send(r, vcur[r] + 1) }
#ifdef BUG_UNORDERED
    :: d_step { IS_FREE(r) && vcur[r] < 2 && dv[vcur[r] + 2] == ACC ->
                send(r, vcur[r] + 2) }
#endif
    /* one that nobody listens to any more; others come after it */
    :: d_step { !IS(down, r) && old[r] != 0 ->
                take_effect(r, old[r], verdict); old[r] = 0; verdict = 0; check() }
#ifdef ANY_ORDER
    :: d_step { !IS(down, r) && q1[r] != 0 ->
#else
    :: d_step { !IS(down, r) && q1[r] != 0 && old[r] == 0 ->
#endif
                take_effect(r, q1[r], verdict); q1[r] = 0; answered(r, verdict);
                verdict = 0; check() }
#ifdef TRANSIENT
    :: d_step { !IS(down, r) && q1[r] != 0 && old[r] == 0 && faults > 0 -> faults--;
                q1[r] = 0; rolls_back(r); check() }
#endif
    /* dies after it took effect and before it has answered */
    :: d_step { !IS(down, r) && q1[r] != 0 && old[r] == 0 && faults > 0 -> faults--;
                take_effect(r, q1[r], verdict); q1[r] = 0; verdict = 0;
                down = WITH(down, r); doubt(r); check() }
    :: d_step { !IS(down, r) && faults > 0 -> faults--;
                q1[r] = 0; old[r] = 0; down = WITH(down, r); doubt(r); check() }
    :: d_step { IS(down, r) -> down = WITHOUT(down, r); check() }
    /* too slow: the keeper closes the connection, and the replica goes on */
    :: d_step { q1[r] != 0 && old[r] == 0 && faults > 0 -> faults--;
                old[r] = q1[r]; q1[r] = 0; doubt(r); check() }
    :: d_step { IS_BACK(r) && IS_SOURCE((r + 1) % 3) -> resync(r, (r + 1) % 3) }
    :: d_step { IS_BACK(r) && !IS_SOURCE((r + 1) % 3) && IS_SOURCE((r + 2) % 3) ->
                resync(r, (r + 2) % 3) }
    od
}

/* ---------------------------------------------------------------- crashes */

/* What was not committed is gone; who listened, too.  Where a cursor may have been
 * committed or not (`far`: which of them were), both is tried: that is all the
 * difference it makes. */
inline lose(r, far)
{
    if
    :: IS(far, r) -> dcur[r] = vcur[r]
    :: else
    fi;
    vcur[r] = dcur[r];
    fl[r] = 0;
    old[r] = (q1[r] != 0 -> q1[r] : old[r]);
    q1[r] = 0
#if LEVEL == 0
    ;
    vsent[r] = dsent[r]
#endif
}

inline forget(s)
{
    vv[s] = dv[s];
    if
    :: (s) > dlen -> lid[s] = 0
    :: else
    fi
}

/* A cursor without its verdict is not committed either. */
#define MAY_BE_FAR(r) (vcur[r] != dcur[r] && (vcur[r] == 0 || vv[vcur[r]] == dv[vcur[r]]))

inline keeper_dies(far)
{
    faults--;
    opened = 0;
#ifdef TRANSIENT
    rolled = 0;
#endif
    lose(0, far);
    lose(1, far);
    lose(2, far);
    forget(1);
    forget(2);
    forget(3);
    vlen = dlen;
    vaside = daside;
    kup = false
}

inline come_back(r)
{
#if LEVEL == 0 && !defined(BUG_DOUBLE_SEND)
    if
    :: dsent[r] > dcur[r] -> vaside = WITH(vaside, r)
    :: else
    fi
#else
    skip
#endif
}

#define MAY_DIE(far) (kup && faults > 0 && ((far) & (7 - FAR)) == 0)
#define FAR                                                                            \
    ((MAY_BE_FAR(0) -> 1 : 0) + (MAY_BE_FAR(1) -> 2 : 0) + (MAY_BE_FAR(2) -> 4 : 0))

active proctype crashes()
{
end:
    do
    :: d_step { MAY_DIE(0) -> keeper_dies(0) }
    :: d_step { MAY_DIE(1) -> keeper_dies(1) }
    :: d_step { MAY_DIE(2) -> keeper_dies(2) }
    :: d_step { MAY_DIE(3) -> keeper_dies(3) }
    :: d_step { MAY_DIE(4) -> keeper_dies(4) }
    :: d_step { MAY_DIE(5) -> keeper_dies(5) }
    :: d_step { MAY_DIE(6) -> keeper_dies(6) }
    :: d_step { MAY_DIE(7) -> keeper_dies(7) }
    :: d_step { !kup -> kup = true; opened = dlen; segreads = 0; come_back(0); come_back(1);
                come_back(2); advance_all(); check() }
    od
}

/* ---------------------------------------------------------------- the end */

#define IS_WHOLE(r) (has[r] == ACCEPTED && !IS(redo, r))

/* No step is left: everything stored has a verdict (P6), and is everywhere.  At L0 all
 * three may have been set aside, and then there is nobody to bring them back from. */
active proctype verdicts()
{
    timeout ->
    assert(kup && down == 0 && told && dlen == 3);
    assert(vaside == 0 || (LEVEL == 0 && vaside == 7));
    assert(SETTLED == 3 || vaside == 7);
    assert(vaside == 7 || (IS_WHOLE(0) && IS_WHOLE(1) && IS_WHOLE(2)))
}

init {
    atomic {
        run replica(0);
        run replica(1);
        run replica(2)
    }
}
