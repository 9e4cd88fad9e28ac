namespace Microsoft.ML.Data;

/// <summary>A 128-bit identifier of a row. Derived identifiers are all but certainly distinct.</summary>
public readonly struct DataViewRowId : IComparable<DataViewRowId>, IEquatable<DataViewRowId>
{
    public readonly ulong Low;
    public readonly ulong High;

    public DataViewRowId(ulong low, ulong high)
    {
        Low = low;
        High = high;
    }

    /// <summary>A new identifier, distinct from this one and from <see cref="Next"/>.</summary>
    public DataViewRowId Fork() => Mix(1);

    /// <summary>A new identifier, distinct from this one and from <see cref="Fork"/>.</summary>
    public DataViewRowId Next() => Mix(2);

    /// <summary>A new identifier that depends on both.</summary>
    public DataViewRowId Combine(DataViewRowId other) =>
        new DataViewRowId(Scramble(Low ^ Scramble(other.Low + 3)), Scramble(High + Scramble(other.High + 5))).Mix(4);

    public int CompareTo(DataViewRowId other)
    {
        int high = High.CompareTo(other.High);
        return high != 0 ? high : Low.CompareTo(other.Low);
    }

    public bool Equals(DataViewRowId other) => Low == other.Low && High == other.High;

    public override bool Equals(object obj) => obj is DataViewRowId other && Equals(other);

    public override int GetHashCode() => HashCode.Combine(Low, High);

    public override string ToString() => $"{High:x16}{Low:x16}";

    private DataViewRowId Mix(ulong salt)
    {
        ulong low = Scramble(Low + (salt * 0x9E3779B97F4A7C15));
        ulong high = Scramble(High ^ low ^ (salt << 56));
        return new DataViewRowId(low + high, high);
    }

    private static ulong Scramble(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
