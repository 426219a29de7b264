//! What a persistence engine goes by: some bytes of a packet.

/// What a persistence engine goes by: bytes of a packet, or none.
#[derive(Clone, Copy)]
pub struct EngineData {
    pub(super) length: u8,
    pub(super) bytes: [u8; DATA_MAX],
}

/// Most bytes that an engine goes by.
pub(super) const DATA_MAX: usize = 255;

impl EngineData {
    /// There is no engine.
    pub const NONE: Self = Self {
        length: 0,
        bytes: [0; DATA_MAX],
    };

    /// These bytes; `None` if they are too many, or none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let length = u8::try_from(bytes.len())
            .ok()
            .filter(|length| *length > 0)?;
        let mut data = Self::NONE;
        data.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        data.length = length;
        Some(data)
    }

    /// The bytes; empty without an engine.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl core::fmt::Debug for EngineData {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes().fmt(f)
    }
}
