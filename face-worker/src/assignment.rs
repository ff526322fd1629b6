//! Which execution provider really runs a network's nodes. A provider can be registered without error and still leave
//! every node to the processor; only ONNX Runtime's own record tells. The safe wrapper does not reach it, so this is
//! the one module with unsafe code.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer;
use ort::session::Session;
use ort::sys::{OrtEpAssignedNode, OrtEpAssignedSubgraph, OrtStatusPtr};

/// The session option that asks for the record, and its value.
pub(crate) const RECORD: (&str, &str) = ("session.record_ep_graph_assignment_info", "1");

/// The number of nodes by execution provider; empty where the library has no record.
pub(crate) fn read(session: &Session) -> Vec<(String, usize)> {
    let api = ort::api();
    let mut nodes_by_provider = BTreeMap::<String, usize>::new();
    let (mut parts, mut count) = (ptr::null::<*const OrtEpAssignedSubgraph>(), 0);
    // SAFETY: the session lives throughout; the call fills both values or fails. The record belongs to the session.
    if !succeeded(unsafe {
        (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut parts, &raw mut count)
    }) {
        return Vec::new();
    }
    for index in 0..count {
        // SAFETY: the library states `count` valid entries.
        let part = unsafe { *parts.add(index) };
        let (mut name, mut nodes, mut node_count) =
            (ptr::null::<c_char>(), ptr::null::<*const OrtEpAssignedNode>(), 0);
        // SAFETY: `part` is such an entry; name and nodes belong to the session.
        let named = succeeded(unsafe { (api.EpAssignedSubgraph_GetEpName)(part, &raw mut name) });
        let counted = succeeded(unsafe {
            (api.EpAssignedSubgraph_GetNodes)(part, &raw mut nodes, &raw mut node_count)
        });
        if named && counted && !name.is_null() {
            // SAFETY: a zero-terminated string that lives as long as the session.
            let provider = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
            *nodes_by_provider.entry(provider).or_default() += node_count;
        }
    }
    nodes_by_provider.into_iter().collect()
}

fn succeeded(status: OrtStatusPtr) -> bool {
    // SAFETY: the status comes straight from a call, is owned by us and is released here.
    unsafe { ort::Error::result_from_status(status) }.is_ok()
}
