//! What is changed.

use serde_json::Value;

use super::route::Found;
use crate::config::Kind;
use crate::options::Options;
use crate::refusal::{Result, refuse};
use crate::sim::Sim;
use crate::storage::allocate;
use crate::{mapping, pct, pvesm, qm};

/// Answers a POST, PUT or DELETE.
///
/// # Errors
/// With what the endpoint says.
pub fn run(sim: &Sim, found: &Found, options: &Options) -> Result<Value> {
    match found.name.as_str() {
        "POST /cluster/mapping/dir" => mapping::create(sim, options)?,
        "PUT /cluster/mapping/dir/{id}" => mapping::set(sim, options)?,
        "DELETE /cluster/mapping/dir/{id}" => mapping::delete(sim, options.need("id"))?,
        "POST /nodes/{node}/lxc" => pct::create::run(sim, options.clone())?,
        "PUT /nodes/{node}/lxc/{vmid}/config" => pct::change::run(sim, options)?,
        "DELETE /nodes/{node}/lxc/{vmid}" => pct::destroy::run(sim, options)?,
        "POST /nodes/{node}/lxc/{vmid}/status/start" => pct::life::start(sim, options)?,
        "POST /nodes/{node}/lxc/{vmid}/status/stop" => pct::life::stop(sim, options, pct::life::Way::Kill)?,
        "POST /nodes/{node}/lxc/{vmid}/status/shutdown" => {
            pct::life::stop(sim, options, pct::life::Way::Halt)?
        }
        "POST /nodes/{node}/lxc/{vmid}/snapshot" => pct::snapshot::make(sim, Kind::Ct, options)?,
        "POST /nodes/{node}/qemu" => qm::create::run(sim, options)?,
        "PUT /nodes/{node}/qemu/{vmid}/config" | "POST /nodes/{node}/qemu/{vmid}/config" => {
            qm::change::run(sim, options)?
        }
        "DELETE /nodes/{node}/qemu/{vmid}" => qm::destroy::run(sim, options)?,
        "POST /nodes/{node}/qemu/{vmid}/status/start" => qm::life::start(sim, options)?,
        "POST /nodes/{node}/qemu/{vmid}/status/stop" => qm::life::stop(sim, options)?,
        "POST /nodes/{node}/qemu/{vmid}/status/shutdown" => qm::life::shutdown(sim, options)?,
        "POST /nodes/{node}/qemu/{vmid}/snapshot" => pct::snapshot::make(sim, Kind::Vm, options)?,
        "POST /storage" => pvesm::add(sim, options)?,
        "PUT /storage/{storage}" => pvesm::set(sim, options)?,
        "DELETE /storage/{storage}" => pvesm::remove(sim, options.need("storage"))?,
        "DELETE /nodes/{node}/storage/{storage}/content/{volume}" => {
            let volume = options.need("volume");
            let volid = if volume.contains(':') {
                volume.to_owned()
            } else {
                format!("{}:{volume}", options.need("storage"))
            };
            allocate::free(sim, &volid)?;
        }
        other => return refuse(format!("simulated: {other} is not there")),
    }
    Ok(Value::Null)
}
