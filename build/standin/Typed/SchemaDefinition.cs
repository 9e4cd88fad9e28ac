using System.Reflection;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Data;

/// <summary>How the members of a user's class become columns, open to changes before it is used.</summary>
public sealed class SchemaDefinition : List<SchemaDefinition.Column>
{
    private SchemaDefinition()
    {
    }

    /// <summary>Whether members are read, written, or both.</summary>
    [Flags]
    public enum Direction
    {
        Read = 1,
        Write = 2,
        Both = 3,
    }

    public Column this[string columnName]
    {
        get => Find(column => column.ColumnName == columnName);
        set
        {
            Check.NotNull(value, nameof(value));
            Check.Param(
                value.ColumnName == columnName,
                nameof(columnName),
                $"The column name is specified as '{value.ColumnName}' but must match the selector '{columnName}'.");
            int index = FindIndex(column => column.ColumnName == columnName);
            if (index >= 0)
            {
                this[index] = value;
            }
            else
            {
                Add(value);
            }
        }
    }

    public static SchemaDefinition Create(Type userType, Direction direction = Direction.Both)
    {
        Check.NotNull(userType, nameof(userType));
        var definition = new SchemaDefinition();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (MemberInfo member in MembersOf(userType, direction))
        {
            string name = member.GetCustomAttribute<ColumnNameAttribute>()?.Name ?? member.Name;
            Check.Param(
                names.Add(name), nameof(userType), $"Duplicate column name '{name}' detected, this is disallowed");
            definition.Add(new Column(member.Name, ColumnTypes.ColumnTypeOf(member), name));
        }

        return definition;
    }

    private static IEnumerable<MemberInfo> MembersOf(Type userType, Direction direction)
    {
        foreach (FieldInfo field in userType.GetFields(BindingFlags.Public | BindingFlags.Instance))
        {
            if (!field.IsLiteral && IsColumn(field, field.FieldType))
            {
                yield return field;
            }
        }

        foreach (PropertyInfo property in userType.GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            bool usable = (direction.HasFlag(Direction.Read) && property.GetGetMethod() is not null)
                || (direction.HasFlag(Direction.Write) && property.GetSetMethod() is not null);
            if (usable && property.GetIndexParameters().Length == 0 && IsColumn(property, property.PropertyType))
            {
                yield return property;
            }
        }
    }

    private static bool IsColumn(MemberInfo member, Type type) =>
        type != typeof(IChannel) && member.GetCustomAttribute<NoColumnAttribute>() is null;

    /// <summary>One member and the column that it becomes.</summary>
    public sealed class Column
    {
        private readonly List<(string Kind, DataViewType Type, Delegate Getter)> _annotations = [];

        internal Column(string memberName, DataViewType columnType, string columnName)
        {
            MemberName = memberName;
            ColumnName = columnName;
            ColumnType = columnType;
        }

        public string MemberName { get; }

        public string ColumnName { get; set; }

        public DataViewType ColumnType { get; set; }

        public DataViewSchema.Annotations Annotations
        {
            get
            {
                var builder = new DataViewSchema.Annotations.Builder();
                foreach ((string kind, DataViewType type, Delegate getter) in _annotations)
                {
                    builder.Add(kind, type, getter);
                }

                return builder.ToAnnotations();
            }
        }

        public void AddAnnotation<T>(string kind, T value, DataViewType annotationType)
        {
            Check.NotNull(kind, nameof(kind));
            Check.NotNull(annotationType, nameof(annotationType));
            if (_annotations.Any(annotation => annotation.Kind == kind))
            {
                throw new InvalidOperationException("Column already contains an annotation of this kind.");
            }

            _annotations.Add((kind, annotationType, AnnotationGetters.Of(value, annotationType)));
        }

        /// <summary>Takes over annotations, in place of those of the same kind.</summary>
        internal void SetAnnotations(DataViewSchema.Annotations annotations)
        {
            foreach (DataViewSchema.Column kind in annotations.Schema)
            {
                _annotations.RemoveAll(annotation => annotation.Kind == kind.Name);
                _annotations.Add((kind.Name, kind.Type, AnnotationGetters.Untyped(annotations, kind)));
            }
        }
    }
}
