namespace RepVgg.Weights.PyTorch;

/// <summary>Computes the CRC-32 checksum of zip files, eight bytes per step.</summary>
/// <remarks>Source: ISO 3309, reflected polynomial 0xEDB88320; slicing-by-8 with eight tables of 256 entries.</remarks>
internal struct Crc32
{
    private static readonly uint[] _tables = MakeTables();

    private uint _state;

    /// <summary>The checksum of the bytes so far.</summary>
    public readonly uint Value => _state;

    public void Append(ReadOnlySpan<byte> bytes)
    {
        uint crc = ~_state;
        uint[] tables = _tables;
        while (bytes.Length >= 8)
        {
            uint low = crc ^ System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            uint high = System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            crc = tables[7 * 256 + (low & 0xff)] ^ tables[6 * 256 + (low >> 8 & 0xff)] ^ tables[5 * 256 + (low >> 16 & 0xff)] ^ tables[4 * 256 + (low >> 24)]
                ^ tables[3 * 256 + (high & 0xff)] ^ tables[2 * 256 + (high >> 8 & 0xff)] ^ tables[256 + (high >> 16 & 0xff)] ^ tables[high >> 24];
            bytes = bytes[8..];
        }
        foreach (byte value in bytes)
            crc = crc >> 8 ^ tables[(crc ^ value) & 0xff];
        _state = ~crc;
    }

    private static uint[] MakeTables()
    {
        var tables = new uint[8 * 256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++)
                value = (value & 1) != 0 ? value >> 1 ^ 0xEDB88320 : value >> 1;
            tables[i] = value;
        }
        for (uint i = 256; i < tables.Length; i++)
            tables[i] = tables[i - 256] >> 8 ^ tables[tables[i - 256] & 0xff];
        return tables;
    }
}
