//! What a virtual machine's packages are installed on: the container's tree.

use crate::error::Error;
use crate::initrd;
use crate::recipe::Initrd;
use crate::tree::Tree;

/// Makes it of a container's tree that is clean. The archive the tree came from is gone by then, so it must not name one.
///
/// # Errors
/// [`Error::Tree`].
pub(crate) fn make(tree: &mut Tree, initrd: Option<&Initrd>) -> Result<(), Error> {
    initrd.map_or(Ok(()), |initrd| initrd::prepare(tree, initrd))?;
    tree.remove("/etc/apt/sources.list");
    tree.remove("/etc/apt/sources.list.d");
    Ok(())
}
