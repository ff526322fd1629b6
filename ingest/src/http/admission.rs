//! Whether a camera's frame is taken at all, before a byte of it is read.

use super::Door;
use ::http::HeaderMap;
use rollcall_schemas::{id::CameraId, role::Role};
use rollcall_service::{auth::Principal, http::Problem};
use std::time::Duration;

/// When to come back while the deployment is paused.
const PAUSED: Duration = Duration::from_secs(30);

/// A camera may push its own frames, an operator or an administrator those of any.
pub(super) fn may_push(caller: &Principal, camera: CameraId) -> Result<(), Problem> {
    match caller {
        Principal::Camera(caller) if caller.camera_id == camera => Ok(()),
        Principal::Camera(_) => Err(Problem::forbidden("a camera may only push its own frames")),
        Principal::Integration(_) => Err(Problem::forbidden("only a camera's own key pushes its frames")),
        Principal::User(user) => user.require(&[Role::Operator, Role::Admin]),
    }
}

impl Door {
    /// Checks that the camera exists, is enabled, and that the deployment is not paused.
    pub(super) fn check_camera(&self, camera: CameraId) -> Result<u32, Problem> {
        let knowledge = &self.0.knowledge;
        let Some(entry) = knowledge.camera(camera) else {
            return Err(self.unless_starting(Problem::not_found("camera")));
        };
        if !entry.enabled {
            return Err(Problem::conflict("the camera is disabled; enable it to push frames"));
        }
        if knowledge.is_paused() {
            return Err(Problem::unavailable("frames are paused by an operator", PAUSED));
        }
        Ok(entry.max_frames_per_second)
    }

    /// Takes one frame out of what the camera may push. The headers go on the answer, whatever it is.
    pub(super) fn take_turn(
        &self,
        camera: CameraId,
        frames_per_second: u32,
    ) -> (HeaderMap, Result<(), Problem>) {
        let allowance = self.0.limiter.take_frame(camera, frames_per_second);
        (allowance.headers(), allowance.check())
    }
}
