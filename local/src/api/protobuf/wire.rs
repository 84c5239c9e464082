//! The wire format of protobuf: numbered fields, one after the other.

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// The value of a varint or a fixed-width number.
    pub(super) varint: u64,
    /// The content of a length-delimited field.
    pub(super) bytes: Option<&'a [u8]>,
}

/// Reads fields until the bytes end or make no sense.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let tag = self.varint()?;
        let mut field = Field {
            number: tag >> 3,
            varint: 0,
            bytes: None,
        };
        match tag & 7 {
            0 => field.varint = self.varint()?,
            1 => field.varint = u64::from_le_bytes(self.take(8)?.try_into().ok()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                field.bytes = Some(self.take(length)?);
            }
            5 => field.varint = u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        }
        Some(field)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Field<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| "the protobuf body breaks off or is damaged".to_owned()))
    }
}
