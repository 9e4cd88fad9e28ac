using System.Collections.Immutable;
using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Column types: equality, names, raw types, limits.</summary>
public sealed class DataTypeTests
{
    public static TheoryData<DataViewType, string, Type> Types => new()
    {
        { NumberDataViewType.SByte, "SByte", typeof(sbyte) },
        { NumberDataViewType.Byte, "Byte", typeof(byte) },
        { NumberDataViewType.UInt16, "UInt16", typeof(ushort) },
        { NumberDataViewType.Int32, "Int32", typeof(int) },
        { NumberDataViewType.UInt32, "UInt32", typeof(uint) },
        { NumberDataViewType.Int64, "Int64", typeof(long) },
        { NumberDataViewType.Single, "Single", typeof(float) },
        { NumberDataViewType.Double, "Double", typeof(double) },
        { TextDataViewType.Instance, "String", typeof(ReadOnlyMemory<char>) },
        { BooleanDataViewType.Instance, "Boolean", typeof(bool) },
        { DateTimeDataViewType.Instance, "DateTime", typeof(DateTime) },
        { RowIdDataViewType.Instance, "DataViewRowId", typeof(DataViewRowId) },
        { new KeyDataViewType(typeof(uint), 10), "Key<UInt32, 0-9>", typeof(uint) },
        { new KeyDataViewType(typeof(byte), 3), "Key<Byte, 0-2>", typeof(byte) },
        { new VectorDataViewType(NumberDataViewType.Single), "Vector<Single>", typeof(VBuffer<float>) },
        { new VectorDataViewType(NumberDataViewType.Single, 5), "Vector<Single, 5>", typeof(VBuffer<float>) },
        { new VectorDataViewType(NumberDataViewType.Single, 1, 5), "Vector<Single, 1, 5>", typeof(VBuffer<float>) },
        { new VectorDataViewType(NumberDataViewType.Single, 0, 5), "Vector<Single, *, 5>", typeof(VBuffer<float>) },
    };

    [Theory]
    [MemberData(nameof(Types))]
    public void HaveNamesAndRawTypes(DataViewType type, string name, Type rawType)
    {
        Assert.Equal(name, type.ToString());
        Assert.Equal(rawType, type.RawType);
        Assert.True(type.Equals(type));
    }

    [Fact]
    public void VectorsAreEqualWhenItemsAndDimensionsAre()
    {
        VectorDataViewType flat = new(NumberDataViewType.Single, 12);
        VectorDataViewType shaped = new(NumberDataViewType.Single, 1, 12);

        Assert.Equal(shaped, new VectorDataViewType(NumberDataViewType.Single, ImmutableArray.Create(1, 12)));
        Assert.Equal(
            shaped.GetHashCode(),
            new VectorDataViewType(NumberDataViewType.Single, ImmutableArray.Create(1, 12)).GetHashCode());
        Assert.NotEqual(flat, shaped);
        Assert.NotEqual(flat, new VectorDataViewType(NumberDataViewType.Double, 12));
        Assert.Equal(12, shaped.Size);
        Assert.Equal(new[] { 1, 12 }, shaped.Dimensions.ToArray());
        Assert.True(shaped.IsKnownSize);
        Assert.False(new VectorDataViewType(NumberDataViewType.Single, 3, 0).IsKnownSize);
        Assert.False(new VectorDataViewType(NumberDataViewType.Single).IsKnownSize);
    }

    [Fact]
    public void KeysAreEqualWhenRawTypeAndCountAre()
    {
        Assert.Equal(new KeyDataViewType(typeof(uint), 7), new KeyDataViewType(typeof(uint), 7ul));
        Assert.NotEqual(new KeyDataViewType(typeof(uint), 7), new KeyDataViewType(typeof(ulong), 7));
        Assert.NotEqual(new KeyDataViewType(typeof(uint), 7), new KeyDataViewType(typeof(uint), 8));
        Assert.Equal(7ul, new KeyDataViewType(typeof(uint), 7).Count);
        Assert.True(KeyDataViewType.IsValidDataType(typeof(ushort)));
        Assert.False(KeyDataViewType.IsValidDataType(typeof(int)));
    }

    [Fact]
    public void KeysRefuseWhatTheirRawTypeCannotHold()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyDataViewType(typeof(int), 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyDataViewType(typeof(byte), 256));
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyDataViewType(typeof(uint), 0));
        Assert.Equal(255ul, new KeyDataViewType(typeof(byte), 255).Count);
    }

    [Fact]
    public void RowIdsForkIntoDistinctOnes()
    {
        DataViewRowId id = new(1, 2);
        DataViewRowId[] ids = [id, id.Fork(), id.Next(), id.Combine(new DataViewRowId(5, 0)), id.Fork().Next()];

        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.Equal(id.Fork(), new DataViewRowId(1, 2).Fork());
        Assert.Equal("00000000000000020000000000000001", id.ToString());
        Assert.True(new DataViewRowId(9, 0).CompareTo(new DataViewRowId(0, 1)) < 0);
    }
}
