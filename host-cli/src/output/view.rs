//! The data of each verb, for people and for programs.

mod accounts;
mod change;
mod domain;
mod figures;
mod gateway;
mod history;
mod node;
mod operation;
mod quota;
mod sessions;
mod template;

pub use accounts::{GroupList, GroupRow, NewUser, NewUsers};
pub use change::{Changed, DryPlan, DryStep, ResultRow, Results};
pub use domain::{CheckRow, DomainChecks, DomainFinding, DomainStatus};
pub use figures::{
    ClientRow, DomainRow, FailedLogonsRow, Figures, Frame, ProcessRow, Rate, Rates, ServiceRow, ShareRow,
    Silence, TopList, TopRow, Totals, render, render_top,
};
pub use gateway::{GatewayList, GatewayRow, ShareList, ShareStatus, Status, UserList, UserStatus};
pub use node::Diagnosis;
pub use operation::{OperationList, OperationRow, OperationView, StepRow};
pub use quota::{QuotaList, QuotaRow};
pub use sessions::{SessionList, SessionRow, SessionsClosed, SilentGateway};
pub use template::{TemplateList, Verified};
