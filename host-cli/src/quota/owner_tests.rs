use super::*;
use smbgw_command::Recorder;

const BOTH: Kinds = Kinds { users: true, groups: true };

fn mount(fstype: &str, options: &str) -> Mount {
    Mount {
        target: "/srv".to_owned(),
        source: "/dev/vdc".to_owned(),
        fstype: fstype.to_owned(),
        options: options.to_owned(),
    }
}

#[test]
fn a_file_system_counts_when_it_is_mounted_so() {
    for options in
        ["rw,usrquota,grpquota", "rw,uquota,gquota", "rw,usrjquota=aquota.user,grpjquota=aquota.group"]
    {
        assert!(on_mount(mount("ext4", options), BOTH).is_ok(), "{options}");
    }
    let lacking = on_mount(mount("ext4", "rw,usrquota"), BOTH).unwrap_err();
    assert_eq!(lacking.why, "/srv is mounted without grpquota");
    assert!(lacking.hint.contains("tune2fs -O quota -Q grpquota /dev/vdc"), "{lacking:?}");
    let lacking = on_mount(mount("xfs", "rw,noquota,prjquota"), BOTH).unwrap_err();
    assert!(lacking.hint.contains("usrquota,grpquota (/etc/fstab)"), "{lacking:?}");
}

#[test]
fn each_file_system_is_told_in_its_own_words() {
    let zfs = Realm::Zfs { dataset: "tank/team".to_owned() };
    let fs = |xfs| Realm::FileSystem { mount: "/srv".to_owned(), xfs };
    let (alice, staff) = (Owner::User(10_000), Owner::Group(20_000));
    let said = [
        zfs.by_hand(alice, Some(5)),
        zfs.by_hand(staff, None),
        fs(true).by_hand(alice, Some(1 << 20)),
        fs(true).by_hand(staff, None),
        fs(false).by_hand(alice, Some(1 << 20)),
        fs(false).by_hand(staff, None),
    ];
    assert_eq!(
        said,
        [
            "zfs set userquota@10000=5 tank/team",
            "zfs set groupquota@20000=none tank/team",
            "xfs_quota -x -c 'limit -u bhard=1048576 10000' /srv",
            "xfs_quota -x -c 'limit -g bhard=0 20000' /srv",
            "setquota -u 10000 0 1024 0 0 /srv",
            "setquota -g 20000 0 0 0 0 /srv",
        ]
    );
}

#[test]
fn what_is_no_list_is_an_error() {
    for (xfs, tool, text) in [
        (true, "xfs_quota", "10000 5 0 0"),
        (true, "xfs_quota", "#10000 many 0 0"),
        (false, "repquota", "Group,x\n"),
        (false, "repquota", "User,x\n#10000,ok,ok,many,0,0\n"),
    ] {
        let realm = Realm::FileSystem { mount: "/srv".to_owned(), xfs };
        let runner = Recorder::new().answer(tool, text);
        assert_eq!(list(&runner, &realm, Owner::User(0)).unwrap_err().code, "tool-answer", "{text}");
    }
}

/// As zfs-userspace(8) describes it; nobody has recorded it.
#[test]
fn owners_of_a_dataset() {
    let realm = Realm::Zfs { dataset: "tank/team".to_owned() };
    let ask = "zfs userspace -H -n -p -t posixuser -o name,used,quota tank/team";
    let runner = Recorder::new().answer(ask, "0\t512\tnone\n10000\t2048\t1048576\n");
    let seen = list(&runner, &realm, Owner::User(0)).unwrap();
    let alice = Holding { limit: Some(1 << 20), used: 2048 };
    assert_eq!(seen, [(Owner::User(0), Holding { limit: None, used: 512 }), (Owner::User(10_000), alice)]);
}

/// `-v` lists them, and may print statistics at the end (repquota(8)).
#[test]
fn who_has_a_limit_and_no_files_is_seen() {
    let realm = Realm::FileSystem { mount: "/srv".to_owned(), xfs: false };
    let said = "User,BlockStatus,FileStatus,BlockUsed,BlockSoftLimit,BlockHardLimit,BlockGrace,FileUsed\n\
                #0,ok,ok,24,0,0,,3\n#10000,ok,ok,0,0,30720,,0\n\nStatistics:\n";
    let runner = Recorder::new().answer("repquota -u -v -n -O csv /srv", said);
    let seen = list(&runner, &realm, Owner::User(0)).unwrap();
    assert_eq!(seen.last(), Some(&(Owner::User(10_000), Holding { limit: Some(30 << 20), used: 0 })));
}
