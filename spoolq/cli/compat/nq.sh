# nq and nqtail (fq), done by spoolq: eval "$(spoolq compat nq)"
# NQDIR is the spool, where it is set. An id is a number, not ,<hex>.<pid>.

nq() (
    [ -z "${NQDIR-}" ] || export SPOOLQ_ROOT="$NQDIR"
    act=add quiet='' clean='' OPTIND=1
    while getopts cqtw option; do
        case $option in
            c) clean=--rm ;;
            q) quiet=1 ;;
            t) act=test ;;
            w) act=wait ;;
            *) exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    case $act in
        add)
            id=$(spoolq add $clean -- "$@") || exit
            [ -n "$quiet" ] || printf '%s\n' "$id"
            ;;
        test)
            if [ $# -gt 0 ]; then
                spoolq is done "$@"
            else
                [ "$(spoolq count state:inactive state:active)" = 0 ]
            fi
            ;;
        wait)
            # shellcheck disable=SC2046 # ids are words
            [ $# -gt 0 ] || set -- $(spoolq list state:inactive state:active -o ids)
            [ $# -eq 0 ] || spoolq wait "$@" >/dev/null
            ;;
    esac
)

nqtail() (
    [ -z "${NQDIR-}" ] || export SPOOLQ_ROOT="$NQDIR"
    while [ $# -gt 0 ]; do
        case $1 in
            -[anq]) shift ;;
            *) break ;;
        esac
    done
    # shellcheck disable=SC2046 # ids are words
    [ $# -gt 0 ] || set -- $(spoolq list state:inactive state:active -o ids | sort -n)
    [ $# -gt 0 ] || set -- last
    for id; do
        spoolq logs -f "$id"
    done
)

fq() {
    nqtail "$@"
}
