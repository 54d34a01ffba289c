//! Files that people and other programs write for the builder: locks, manifests, recipes.

use smbgw_builder::form::Form;
use smbgw_builder::lock::Lock;
use smbgw_builder::manifest::Manifest;
use smbgw_builder::recipe::Recipe;

/// Reads the input as each; what is read is written, and read again as the same.
pub fn documents(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(lock) = Lock::parse(text) {
        assert_eq!(Lock::parse(&lock.to_text()).as_ref(), Ok(&lock));
        let machine = lock.of_form(Form::Machine);
        assert_eq!(Lock::parse(&machine.to_text()).as_ref(), Ok(&machine));
    }
    if let Ok(manifest) = Manifest::parse(text) {
        assert_eq!(Manifest::parse(&manifest.to_text()).as_ref(), Ok(&manifest));
    }
    if let Ok(recipe) = Recipe::parse(text) {
        let written = serde_yaml::to_string(&recipe).expect("a recipe");
        let again = Recipe::parse(&written).expect("our own recipe");
        assert_eq!(again, recipe);
        assert_eq!((again.hash(), again.package_hash()), (recipe.hash(), recipe.package_hash()));
    }
}
