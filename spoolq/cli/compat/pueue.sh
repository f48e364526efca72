# pueue, done by spoolq: eval "$(spoolq compat pueue)"
# A group is a queue. One word after the options is a line for the shell, as with pueue; several
# words are run as they are, without one.

pueue() (
    verb=${1-status}
    [ $# -eq 0 ] || shift
    case $verb in
        add)
            left=$#
            while [ "$left" -gt 0 ]; do
                word=$1
                shift
                left=$((left - 1))
                case $word in
                    -s | --stashed) set -- "$@" --hold ;;
                    -i | --immediate | -e | --escape | -p | --print-task-id) ;;
                    -g | --group | -a | --after | -l | --label | -o | --priority | -d | --delay | \
                        -w | --working-directory)
                        [ "$word" = --working-directory ] && word=--cwd
                        set -- "$@" "$word" "$1"
                        shift
                        left=$((left - 1))
                        ;;
                    --working-directory=*) set -- "$@" "--cwd=${word#*=}" ;;
                    --?*=*) set -- "$@" "$word" ;;
                    *)
                        [ "$word" != -- ] || {
                            word=${1-}
                            shift
                            left=$((left - 1))
                        }
                        if [ "$left" -gt 0 ]; then
                            set -- "$@" -- "$word"
                            while [ "$left" -gt 0 ]; do
                                set -- "$@" "$1"
                                shift
                                left=$((left - 1))
                            done
                        else
                            set -- "$@" -c "$word"
                        fi
                        ;;
                esac
            done
            spoolq add "$@"
            ;;
        status) spoolq list "$@" ;;
        log)
            [ $# -gt 0 ] || set -- last
            for id; do
                spoolq logs "$id" || exit
            done
            ;;
        follow) spoolq logs -f "$@" ;;
        wait) spoolq wait "$@" >/dev/null ;;
        kill) spoolq kill "$@" ;;
        pause | start)
            act=pause
            [ "$verb" = pause ] || act=resume
            case ${1--g} in
                -g | --group) spoolq queue "$act" "${2-default}" ;; # jobs that run go on
                *) spoolq "$act" "$@" ;;
            esac
            ;;
        restart)
            left=$#
            while [ "$left" -gt 0 ]; do
                word=$1
                shift
                left=$((left - 1))
                case $word in
                    -i | --in-place | -k | --immediate) ;;
                    -a | --all-failed) set -- "$@" state:failed ;;
                    *) set -- "$@" "$word" ;;
                esac
            done
            spoolq retry "$@"
            ;;
        stash) spoolq hold "$@" ;;
        enqueue) spoolq release "$@" ;;
        remove | rm) spoolq remove "$@" ;;
        clean) spoolq clean state:finished state:failed ;;
        edit) spoolq edit "$@" ;;
        group) spoolq queue list ;;
        parallel)
            queue=default number=''
            while [ $# -gt 0 ]; do
                case $1 in
                    -g | --group) queue=${2-} && shift ;;
                    *) number=$1 ;;
                esac
                shift
            done
            spoolq queue set "$queue" --parallel "$number"
            ;;
        *)
            printf 'pueue: %s: not with spoolq; see spoolq --help\n' "$verb" >&2
            exit 2
            ;;
    esac
)
