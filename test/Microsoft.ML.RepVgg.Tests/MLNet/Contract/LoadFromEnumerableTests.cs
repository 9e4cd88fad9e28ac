using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Objects as data views.</summary>
public sealed class LoadFromEnumerableTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void MembersBecomeColumns()
    {
        IDataView view = _context.Data.LoadFromEnumerable(new[] { new Everything(), new Everything { Text = null! } });

        Assert.Equal(
            ["Field", "Fixed", "Shaped", "Buffer", "Number", "Text", "Memory", "Free", "Renamed", "Key", "Flag", "When", "Words"],
            view.Schema.Names());
        Assert.Equal(NumberDataViewType.Int32, view.Schema["Field"].Type);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 3), view.Schema["Fixed"].Type);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Byte, 1, 2), view.Schema["Shaped"].Type);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single), view.Schema["Free"].Type);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Double, 4), view.Schema["Buffer"].Type);
        Assert.Equal(new KeyDataViewType(typeof(uint), 5), view.Schema["Key"].Type);
        Assert.Equal(TextDataViewType.Instance, view.Schema["Memory"].Type);
        Assert.Equal(BooleanDataViewType.Instance, view.Schema["Flag"].Type);
        Assert.Equal(new VectorDataViewType(TextDataViewType.Instance), view.Schema["Words"].Type);
        Assert.Equal(2, view.GetRowCount());
        Assert.False(view.CanShuffle);
        Assert.Equal(["text", ""], view.Texts("Text"));
        Assert.Equal([7, 7], view.Values<int>("Field"));
        Assert.Equal([1f, 2, 3], view.Vectors<float>("Fixed")[1]);
        Assert.Equal([0.0, 9, 0, 0], view.Vectors<double>("Buffer")[0]);
        Assert.Equal([0.5f, 0.5f], view.Values<float>("Renamed"));
        Assert.Equal(["a", "b"], view.Vectors<ReadOnlyMemory<char>>("Words")[0].Select(word => word.ToString()));
    }

    [Fact]
    public void KeysOfMembersCountFromZero()
    {
        IDataView view = _context.Data.LoadFromEnumerable(
            new uint[] { 0, 1, 4, 5, 9 }.Select(key => new Everything { Key = key }));

        Assert.Equal([1u, 2, 5, 0, 0], view.Values<uint>("Key"));
        Assert.Null(view.GetRowCount());
    }

    [Fact]
    public void NullArraysAreEmpty()
    {
        IDataView view = _context.Data.LoadFromEnumerable([new Everything { Free = null!, Words = null! }]);

        Assert.Empty(view.Vectors<float>("Free")[0]);
        Assert.Empty(view.Vectors<ReadOnlyMemory<char>>("Words")[0]);
    }

    [Fact]
    public void NullRowsAreRefused()
    {
        IDataView view = _context.Data.LoadFromEnumerable(new Everything[] { new(), null! });

        Exception error = Assert.Throws<InvalidOperationException>(() => view.Values<int>("Field"));
        Assert.Contains("null", error.Message);
    }

    [Fact]
    public void DefinitionsChangeNamesTypesAndAnnotations()
    {
        SchemaDefinition definition = SchemaDefinition.Create(typeof(Small));
        definition["Values"].ColumnType = new VectorDataViewType(NumberDataViewType.Single, 2);
        definition["Values"].ColumnName = "Features";
        definition["Id"].ColumnType = new KeyDataViewType(typeof(uint), 2);
        definition["Id"].AddAnnotation(
            "KeyValues", new[] { "no", "yes" }, new VectorDataViewType(TextDataViewType.Instance, 2));
        definition.Remove(definition["Name"]);

        IDataView view = _context.Data.LoadFromEnumerable([new Small { Id = 1, Values = [3, 4] }], definition);

        Assert.Equal(["Id", "Features"], view.Schema.Names());
        Assert.Equal(["no", "yes"], view.Schema["Id"].KeyTexts());
        Assert.Equal([2u], view.Values<uint>("Id"));
        Assert.Equal([3f, 4], view.Vectors<float>("Features")[0]);
        Assert.Equal("Values", definition["Features"].MemberName);
        Assert.Null(definition["Nothing"]);
    }

    [Fact]
    public void SchemasGiveTypesAndAnnotations()
    {
        IDataView source = _context.Data.LoadFromEnumerable([new Small { Values = [1, 2], Name = "b" }]);
        IDataView keyed = _context.Transforms.Conversion.MapValueToKey("Name").Fit(source).Transform(source);
        DataViewSchema.Builder builder = new();
        builder.AddColumn("Values", new VectorDataViewType(NumberDataViewType.Single, 2));
        builder.AddColumn("Id", keyed.Schema["Name"].Type, keyed.Schema["Name"].Annotations);

        IDataView view = _context.Data.LoadFromEnumerable([new Small { Values = [5, 6] }], builder.ToSchema());

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 2), view.Schema["Values"].Type);
        Assert.Equal(["b"], view.Schema["Id"].KeyTexts());
        DataViewSchema.Builder unknown = new();
        unknown.AddColumn("Nowhere", NumberDataViewType.Single);
        Assert.Throws<InvalidOperationException>(() =>
            _context.Data.LoadFromEnumerable([new Small()], unknown.ToSchema()));
    }

    [Fact]
    public void TypesWithoutAColumnTypeAreNamed()
    {
        Exception error = Assert.Throws<ArgumentOutOfRangeException>(
            () => _context.Data.LoadFromEnumerable([new Unusable()]));
        Assert.Contains("Strange", error.Message);
        Assert.Throws<ArgumentNullException>(() => _context.Data.LoadFromEnumerable<Small>(null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.LoadFromEnumerable([new Twice()]));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.LoadFromEnumerable([new ScalarVector()]));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.LoadFromEnumerable([new FloatKey()]));
    }

    [Fact]
    public void DefinitionsMustFitTheMembers()
    {
        SchemaDefinition scalar = SchemaDefinition.Create(typeof(Small));
        scalar["Values"].ColumnType = NumberDataViewType.Single;
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.LoadFromEnumerable([new Small()], scalar));

        SchemaDefinition wrongItem = SchemaDefinition.Create(typeof(Small));
        wrongItem["Values"].ColumnType = new VectorDataViewType(NumberDataViewType.Double, 2);
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.LoadFromEnumerable([new Small()], wrongItem));
        Assert.Throws<InvalidOperationException>(() =>
            wrongItem["Id"].AddAnnotation("X", 1f, new VectorDataViewType(NumberDataViewType.Single, 1)));
    }

    private sealed class Everything
    {
#pragma warning disable CS0649, CA1822
        public const int Constant = 1;
        public int Field = 7;

        [VectorType(3)]
        public float[] Fixed = [1, 2, 3];

        [VectorType(1, 2)]
        public byte[] Shaped = [1, 2];

        [VectorType(4)]
        public VBuffer<double> Buffer = new(4, 1, [9.0], [1]);

        [NoColumn]
        public object? Hidden;
#pragma warning restore CS0649, CA1822

        [LoadColumn(0)]
        public double Number { get; set; }

        public string Text { get; set; } = "text";

        public ReadOnlyMemory<char> Memory { get; set; }

        public float[] Free { get; set; } = [];

        [ColumnName("Renamed")]
        public float Other { get; set; } = 0.5f;

        [KeyType(5)]
        public uint Key { get; set; }

        public bool Flag { get; set; }

        public DateTime When { get; set; }

        public string[] Words { get; set; } = ["a", "b"];
    }

    private sealed class Small
    {
        public uint Id { get; set; }

        public float[] Values { get; set; } = [];

        public string Name { get; set; } = "";
    }

    private sealed class Unusable
    {
        public Uri? Strange { get; set; }
    }

    private sealed class Twice
    {
        public int A { get; set; }

        [ColumnName("A")]
        public int B { get; set; }
    }

    private sealed class ScalarVector
    {
        [VectorType(2)]
        public float A { get; set; }
    }

    private sealed class FloatKey
    {
        [KeyType(2)]
        public float A { get; set; }
    }
}
